// Elements made of words: what a server or a model says becomes text and never markup.

const SVG = "http://www.w3.org/2000/svg";

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function shape(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

export function byId(id) {
  return document.getElementById(id);
}

// As people write a number: two places, and a minus that is one.
export function said(value, places = 2) {
  if (value === null || value === undefined) return "not known";
  const rounded = Number(value).toFixed(places);
  return (Number(rounded) === 0 ? (0).toFixed(places) : rounded).replace("-", "\u2212");
}
