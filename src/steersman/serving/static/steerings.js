// The server's steerings: which are chosen, and the setpoint of each of their features.

import { element, said } from "./dom.js";

const USUAL = 1;
const NEAR = 2;

// What clients call a feature: by its steering's name where that has no other.
export function called(steering, feature) {
  return steering.features.length === 1 ? steering.id : `${steering.id}.${feature}`;
}

function meaning(steering, value) {
  if (!steering.in_units) return said(value);
  if (value === 1) return `${said(value)}, as the desired examples`;
  if (value === 0) {
    return steering.needs_all
      ? `${said(value)}, as the undesired examples`
      : `${said(value)}, as unsteered`;
  }
  return said(value);
}

function ends(steering) {
  if (!steering.in_units) return "in the method's own unit; 0 is unsteered";
  return steering.needs_all ? "0 undesired, 1 desired examples" : "0 unsteered, 1 desired examples";
}

function about(steering) {
  const words = element("p", { class: "hint" }, steering.summary);
  return element("details", {}, element("summary", {}, `About ${steering.id}`), words);
}

export class Steerings {
  // `place` is filled; `changed` is called when anything is; `load` when one is to be loaded.
  constructor(place, changed, load) {
    this.place = place;
    this.changed = changed;
    this.load = load;
    this.known = [];
    this.most = NEAR;
    this.strengths = new Map();
  }

  show(known, most) {
    this.known = known;
    this.most = most;
    const loaded = new Set(known.filter((one) => one.loaded).map((one) => one.id));
    for (const id of this.strengths.keys()) if (!loaded.has(id)) this.strengths.delete(id);
    const parts = known.map((one) => (one.loaded ? this.picked(one) : this.unloaded(one)));
    if (!parts.length) parts.push(element("p", { class: "quiet" }, "This server has no steering."));
    this.place.replaceChildren(...parts);
  }

  // Where the focus goes once a button that had it is gone.
  focus(id) {
    const index = this.known.findIndex((one) => one.id === id);
    this.place.children[index]?.querySelector("input")?.focus();
  }

  get chosen() {
    return this.known.filter((one) => this.strengths.has(one.id));
  }

  // The field of a request.
  get asked() {
    return this.fieldOf(this.chosen, (id, feature) => this.strengths.get(id)[feature]);
  }

  // The same features at 0, which is to read and not to steer; not of those that hold a value.
  get readable() {
    return this.fieldOf(this.chosen.filter((one) => !one.needs_all), () => 0);
  }

  fieldOf(steerings, strength) {
    const each = (one) => one.features.map((name) => [name, strength(one.id, name)]);
    const value = (one) =>
      one.features.length === 1 ? each(one)[0][1] : Object.fromEntries(each(one));
    return Object.fromEntries(steerings.map((one) => [one.id, value(one)]));
  }

  unloaded(one) {
    const button = element("button", { type: "button" }, `Load ${one.id}`);
    button.addEventListener("click", () => this.load(one.id, button));
    return element(
      "div",
      { class: "steering" },
      element("span", { class: "name quiet" }, one.id, " is not loaded"),
      button,
    );
  }

  picked(one) {
    const box = element("input", { type: "checkbox" });
    const features = element("div", { class: "features" });
    box.checked = this.strengths.has(one.id);
    const unfold = () => {
      features.replaceChildren(
        ...(box.checked ? one.features.map((name) => this.slider(one, name)) : []),
        ...(box.checked ? [about(one)] : []),
      );
    };
    box.addEventListener("change", () => {
      if (box.checked) {
        this.strengths.set(one.id, Object.fromEntries(one.features.map((name) => [name, USUAL])));
      } else this.strengths.delete(one.id);
      unfold();
      this.changed();
    });
    unfold();
    const name = element("span", { class: "name" }, one.id);
    const method = element("span", { class: "method" }, one.method);
    const label = element("label", { class: "pick" }, box, name, method);
    return element("div", { class: "steering" }, label, features);
  }

  slider(one, feature) {
    const given = this.strengths.get(one.id);
    const title = called(one, feature);
    const bound = () => (Math.abs(given[feature]) > NEAR ? this.most : Math.min(NEAR, this.most));
    const range = element("input", { type: "range", step: "0.05", "aria-label": `Setpoint of ${title}` });
    const exact = element("input", {
      type: "number", step: "any", min: -this.most, max: this.most, required: true,
      "aria-label": `Setpoint of ${title}, exactly`,
    });
    const marks = [0, 1].map((value) => element("span", { class: "mark" }, String(value)));
    const scale = element("div", { class: "marks", "aria-hidden": "true" }, ...marks);
    const tell = () => {
      range.min = -bound();
      range.max = bound();
      range.value = given[feature];
      range.setAttribute("aria-valuetext", meaning(one, given[feature]));
      marks.forEach((mark, value) => {
        mark.style.setProperty("--at", String((value + bound()) / (2 * bound())));
      });
    };
    exact.value = given[feature];
    range.addEventListener("input", () => {
      given[feature] = Number(range.value);
      exact.value = given[feature];
      range.setAttribute("aria-valuetext", meaning(one, given[feature]));
      this.changed();
    });
    exact.addEventListener("input", () => {
      if (!exact.checkValidity()) return;
      given[feature] = Number(exact.value);
      tell();
      this.changed();
    });
    tell();
    return element(
      "div",
      { class: "feature" },
      element("div", { class: "feature-head" }, element("span", {}, one.features.length === 1 ? "Setpoint" : feature), exact),
      range,
      scale,
      element("p", { class: "hint" }, ends(one)),
    );
  }
}
