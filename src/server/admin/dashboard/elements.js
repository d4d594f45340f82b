// Makes and changes elements of the page.
//
// Used by `charts`, `panels`, `tables` and `dashboard`.
//
// Always true:
// - Text gets in as text only. Topics and patterns are chosen by clients, so nothing here or in its
//   users reads markup.
// - What did not change is not written, so that a selection, a hover and a screen reader stay calm.

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

/** The element with this id, which the page has. */
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

/** Makes `parent` have `number` children, each made by `create`; those that are there stay. */
export function pool(parent, number, create) {
  while (parent.children.length > number) parent.lastElementChild.remove();
  while (parent.children.length < number) parent.append(create(parent.children.length));
  return [...parent.children];
}

/** How full something is: "ok", "near" from three quarters on, "full" from nine tenths on. */
export function level(ratio) {
  if (ratio >= 0.9) return "full";
  return ratio >= 0.75 ? "near" : "ok";
}

/** A bar that is a share of its width long; what it says must stand beside it as text. */
export class Bar {
  constructor(className = "bar") {
    this.filled = make("span", { class: "bar-filled" });
    this.element = make("span", { class: className, "aria-hidden": "true" }, this.filled);
  }

  /** `judged`: whether a long bar is a warning. */
  set(ratio, judged = true) {
    const share = Math.min(1, Math.max(0, ratio ?? 0));
    // What is not nothing is to be seen.
    this.filled.style.width = share > 0 ? `max(2px, ${(share * 100).toFixed(1)}%)` : "0";
    setAttribute(this.element, "data-level", judged ? level(share) : null);
  }
}
