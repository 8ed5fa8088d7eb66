// One text, token by token, coloured by a feature; arrow keys and the pointer read its numbers.

import { element, said } from "./dom.js";

const STRONGEST = 2;
const WEAKEST = -1;
const UNCLEAR = -0.25;

function shown(text) {
  return text === "" ? "a part of a character" : `\u201c${text.replaceAll("\n", "\u21b5")}\u201d`;
}

function wordsOf(reading) {
  const extra = [];
  if (reading.setpoint !== null) extra.push(`asked ${said(reading.setpoint)}`);
  if (reading.unsteered !== null) extra.push(`unsteered ${said(reading.unsteered)}`);
  if (reading.steered === false) extra.push("not steered here");
  return `${reading.feature} ${said(reading.reached)}${extra.length ? ` (${extra.join(", ")})` : ""}`;
}

// Blue above 0 and, where it is clearly below, orange and dotted: the stronger the further.
export function heat(span, value) {
  const below = value < UNCLEAR;
  const strength = below ? value / WEAKEST : Math.max(0, value / STRONGEST);
  span.style.setProperty("--strength", `${Math.round(100 * Math.min(1, strength))}%`);
  span.classList.toggle("below", below);
}

export class Panel {
  constructor(place, name) {
    this.text = element("div", {
      class: "text", tabindex: "0", role: "group", dir: "auto",
      "aria-label": `${name} text; arrow keys move from token to token`,
    });
    this.note = element("p", { class: "note" });
    this.readout = element("p", { class: "readout", "aria-live": "polite" });
    this.error = element("p", { class: "error", role: "alert" });
    place.replaceChildren(this.text, this.error, this.readout, this.note);
    this.colour = "";
    this.clear();
    this.note.textContent = "Nothing is written yet.";
    this.text.addEventListener("keydown", (event) => this.key(event));
    this.text.addEventListener("pointerover", (event) => this.point(event));
    this.text.addEventListener("pointerleave", () => this.at(-1));
    this.text.addEventListener("blur", () => this.at(-1));
  }

  clear() {
    this.text.replaceChildren();
    this.tokens = [];
    this.spans = [];
    this.features = new Set();
    this.current = -1;
    for (const part of [this.note, this.readout, this.error]) part.replaceChildren();
  }

  // More of the answer: with its tokens where the server tells them, or else as plain text.
  add(text, tokens) {
    let rest = text;
    for (const token of tokens ?? []) {
      const span = element("span", { class: "token" }, token.text);
      span.classList.toggle("break", token.text === "\n");
      span.classList.toggle("part", token.text === "");
      for (const reading of token.features ?? []) this.features.add(reading.feature);
      this.tokens.push(token);
      this.spans.push(span);
      this.paint(this.tokens.length - 1);
      this.text.append(span);
      rest = rest.slice(token.text.length);
    }
    if (rest) this.text.append(rest);
  }

  paintBy(feature) {
    this.colour = feature;
    this.tokens.forEach((_, index) => this.paint(index));
  }

  paint(index) {
    const span = this.spans[index];
    const reading = (this.tokens[index].features ?? []).find((one) => one.feature === this.colour);
    const value = reading?.reached ?? null;
    heat(span, value ?? 0);
    if (value === null) delete span.dataset.value;
    else span.dataset.value = said(value);
  }

  key(event) {
    const last = this.tokens.length - 1;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    let next = null;
    if (step) next = Math.max(0, Math.min(last, this.current + step));
    else if (event.key === "Home") next = 0;
    else if (event.key === "End") next = last;
    if (next === null || last < 0) return;
    event.preventDefault();
    this.at(next);
  }

  point(event) {
    const index = this.spans.indexOf(event.target);
    if (index >= 0) this.at(index);
  }

  // Tell the numbers of one token; -1 is none.
  at(index) {
    this.spans[this.current]?.classList.remove("current");
    this.current = index;
    if (index < 0) return this.readout.replaceChildren();
    this.spans[index].classList.add("current");
    const token = this.tokens[index];
    const known = token.features;
    const words = known?.length ? known.map(wordsOf).join("; ") : "no feature is known";
    this.readout.textContent =
      `Token ${index + 1} of ${this.tokens.length}, ${shown(token.text)}: ${words}`;
    return undefined;
  }
}
