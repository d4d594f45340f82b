// Functions that make and change elements of the page.
//
// Used by `charts`, `panels`, `tables` and `dashboard`.
//
// Always true:
// - Text is set as text only. Clients choose topics and patterns, so neither this module nor its
//   users parse markup.
// - An unchanged value is not written again, so that a selection, a hover and a screen reader are
//   not disturbed.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** An HTML element; children are elements or text. */
export function make(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** An SVG element. */
export function draw(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

export function byId(id) {
  return document.getElementById(id);
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

export function show(element, shown) {
  if (element.hidden === shown) element.hidden = !shown;
}

/**
 * Adds children made by `create`, or removes some, until `parent` has `number`; the others stay.
 */
export function pool(parent, number, create) {
  while (parent.children.length > number) parent.lastElementChild.remove();
  while (parent.children.length < number) parent.append(create(parent.children.length));
  return [...parent.children];
}

/** The level of a ratio: "ok", "near" from three quarters on, "full" from nine tenths on. */
export function level(ratio) {
  if (ratio >= 0.9) return "full";
  return ratio >= 0.75 ? "near" : "ok";
}

/** A bar that shows a ratio; the number must stand beside it as text. */
export class Bar {
  constructor(className = "bar") {
    this.filled = make("span", { class: "bar-filled" });
    this.element = make("span", { class: className, "aria-hidden": "true" }, this.filled);
  }

  /** `judged`: whether a long bar is a warning. */
  set(ratio, judged = true) {
    const share = Math.min(1, Math.max(0, ratio ?? 0));
    // A small share stays visible.
    this.filled.style.width = share > 0 ? `max(2px, ${(share * 100).toFixed(1)}%)` : "0";
    setAttribute(this.element, "data-level", judged ? level(share) : null);
  }
}
