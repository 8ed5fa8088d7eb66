// A feature at each block: asked, reached and unsteered, as a figure and as a table.

import { element, said, shape } from "./dom.js";

const LEFT = 44;
const RIGHT = 14;
const TOP = 12;
const BOTTOM = 40;
const HEIGHT = 250;

const known = (values) => values.filter((value) => value !== null && value !== undefined);

// What is drawn of one feature, from the reports of the steered and of the unsteered answer.
export function seriesOf(report, beside, steering) {
  const whole = (values, last) => [...(values ?? []), last ?? null];
  const reached = whole(report.blocks?.reached, report.reached);
  let asked = whole(report.blocks?.setpoint, report.setpoint);
  let unsteered = whole(report.blocks?.unsteered, report.unsteered);
  let askedName = "asked";
  let unsteeredName = "unsteered, the same tokens";
  if (!known(unsteered).length) {
    unsteered = whole(beside?.blocks?.reached, beside?.reached);
    unsteeredName = "unsteered, its own text";
    const base = unsteered.at(-1);
    const relative = steering?.in_units && !steering.needs_all;
    if (!known(asked).length && relative && base !== null) {
      asked = reached.map((_, block) => (block + 1 === reached.length ? base + report.strength : null));
      askedName = `asked: ${said(report.strength)} above its own text`;
    }
  }
  return [
    { kind: "unsteered", name: unsteeredName, values: unsteered },
    { kind: "asked", name: askedName, values: asked },
    { kind: "reached", name: "reached", values: reached },
  ].filter((one) => known(one.values).length);
}

// Round numbers from below to above, about five of them.
function ticks(low, high) {
  const rough = (high - low) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const first = Math.floor(low / step);
  return Array.from({ length: Math.ceil(high / step) - first + 1 }, (_, i) => (first + i) * step);
}

// Where a line has gaps, it is several.
function pathOf(values, x, y) {
  let pen = "M";
  return values
    .map((value, block) => {
      const step = value === null ? "" : `${pen}${x(block).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = value === null ? "M" : "L";
      return step;
    })
    .join("");
}

function marker(kind, x, y) {
  if (kind === "asked") {
    return shape("path", { class: kind, d: `M${x} ${y - 7}l7 7l-7 7l-7 -7z` });
  }
  if (kind === "unsteered") return shape("rect", { class: kind, x: x - 2.5, y: y - 2.5, width: 5, height: 5 });
  return shape("circle", { class: kind, cx: x, cy: y, r: 3.5 });
}

function axes(x, y, marks, states, width) {
  const every = Math.ceil((states * 26) / (width - LEFT - RIGHT));
  const right = width - RIGHT;
  const lines = marks.flatMap((value) => [
    shape("line", { class: value === 0 || value === 1 ? "unit" : "grid", x1: LEFT, x2: right, y1: y(value), y2: y(value) }),
    shape("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, said(value, Number.isInteger(value) ? 0 : 1)),
  ]);
  const blocks = Array.from({ length: states }, (_, block) => block)
    .filter((block) => block + 1 === states || (block % every === 0 && block + 1 + every / 2 < states))
    .map((block) =>
      shape("text", { x: x(block), y: HEIGHT - BOTTOM + 18, "text-anchor": "middle" },
        block + 1 === states ? "end" : String(block)));
  const label = shape("text", { x: (LEFT + right) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, "at the input of block");
  return [...lines, ...blocks, label];
}

function drawn(series, width, words) {
  const states = series[0].values.length;
  const all = known(series.flatMap((one) => one.values));
  const marks = ticks(Math.min(0, ...all), Math.max(1, ...all));
  const [low, high] = [marks[0], marks.at(-1)];
  const x = (block) => LEFT + 6 + (block * (width - LEFT - RIGHT - 12)) / Math.max(1, states - 1);
  const y = (value) => TOP + ((high - value) * (HEIGHT - TOP - BOTTOM)) / (high - low);
  // What is asked is hollow and on top, so that what lies where it was asked is seen in it.
  const topmost = [...series].sort((one, other) => (one.kind === "asked") - (other.kind === "asked"));
  const shapes = topmost.flatMap((one) => [
    shape("path", { class: `line ${one.kind}`, d: pathOf(one.values, x, y) }),
    ...one.values.flatMap((value, block) => (value === null ? [] : [marker(one.kind, x(block), y(value))])),
  ]);
  return shape(
    "svg",
    { role: "img", "aria-label": words, width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}` },
    ...axes(x, y, marks, states, width),
    ...shapes,
  );
}

function legend(series) {
  const items = series.map((one) =>
    element("li", {},
      shape("svg", { width: 26, height: 16, "aria-hidden": "true" },
        shape("path", { class: `line ${one.kind}`, d: "M0 8L26 8" }), marker(one.kind, 13, 8)),
      one.name));
  return element("ul", { class: "series" }, ...items);
}

function table(series, title) {
  const cells = (tag, values) => values.map((value) => element(tag, tag === "th" ? { scope: "col" } : {}, value));
  const rows = series[0].values.map((_, block, all) =>
    element("tr", {},
      element("th", { scope: "row" }, block + 1 === all.length ? "end" : String(block)),
      ...cells("td", series.map((one) => said(one.values[block])))));
  const head = element("tr", {}, ...cells("th", ["Block", ...series.map((one) => one.name)]));
  const inside = element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
  const place = element("div", { class: "table", tabindex: "0", role: "region", "aria-label": `Numbers of ${title}` }, inside);
  return element("details", {}, element("summary", {}, `Numbers of ${title}`), place);
}

// One figure with its legend, words and table; it is drawn anew when its width changes.
export function figureOf(report, series) {
  const title = report.feature;
  const last = series.map((one) => `${one.kind} ${said(one.values.at(-1))}`).join(", ");
  const words = `Natural units, mean over ${report.tokens} steered tokens. At the end: ${last}.`;
  const canvas = element("div", { class: "canvas" });
  let width = 0;
  new ResizeObserver(() => {
    const now = Math.max(260, Math.floor(canvas.clientWidth));
    if (now === width) return;
    width = now;
    canvas.replaceChildren(drawn(series, width, `${title}. ${words}`));
  }).observe(canvas);
  const caption = element("figcaption", {}, words);
  return element("figure", {}, element("h3", {}, title), legend(series), canvas, caption, table(series, title));
}
