// Makes models real, and changes in place what is another than before: the focus, what people typed
// and what they opened stay.

import { setShape, shape } from "./dom.js";

/** @import { Child, Model } from "./model.js" */

/** What an element or text was made from. @type {WeakMap<Node, Child>} */
const made = new WeakMap();

/**
 * Makes the children of an element be these.
 * @param {Element} parent
 * @param {Child[]} children
 */
export function patch(parent, children) {
  /** @type {Map<string, Node>} */
  const keyed = new Map();
  for (const node of parent.childNodes) {
    const before = made.get(node);
    if (before && typeof before !== "string" && before.key !== null) keyed.set(before.key, node);
  }
  let at = parent.firstChild;
  for (const child of children) {
    const key = typeof child === "string" ? null : child.key;
    const known = key === null ? at : (keyed.get(key) ?? null);
    if (known && fits(made.get(known), child)) {
      if (known === at) {
        at = at.nextSibling;
      } else {
        parent.insertBefore(known, at);
      }
      update(known, child);
    } else {
      parent.insertBefore(make(child), at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

/**
 * @param {Child | undefined} before
 * @param {Child} after
 */
function fits(before, after) {
  if (before === undefined) return false;
  if (typeof before === "string" || typeof after === "string") return typeof before === typeof after;
  return before.tag === after.tag && before.key === after.key;
}

/**
 * @param {Child} child
 * @returns {Node}
 */
function make(child) {
  if (typeof child === "string") {
    const text = document.createTextNode(child);
    made.set(text, child);
    return text;
  }
  if (child.tag === "shape") {
    const drawn = shape("none");
    made.set(drawn, child);
    drawShape(drawn, child);
    return drawn;
  }
  const element = document.createElement(child.tag);
  made.set(element, child);
  for (const [name, value] of Object.entries(child.attributes)) {
    element.setAttribute(name, value);
  }
  patch(element, child.children);
  return element;
}

/**
 * @param {Node} node
 * @param {Child} after
 */
function update(node, after) {
  const before = made.get(node);
  if (before === after) {
    return;
  }
  made.set(node, after);
  if (typeof after === "string") {
    if (before !== after) node.textContent = after;
    return;
  }
  if (node instanceof SVGSVGElement) {
    drawShape(node, after);
    return;
  }
  if (!(node instanceof Element) || typeof before === "string" || before === undefined) {
    return;
  }
  // Compared with the model, not with the element: what people opened or typed is theirs.
  for (const [name, value] of Object.entries(after.attributes)) {
    if (before.attributes[name] !== value) node.setAttribute(name, value);
  }
  for (const name of Object.keys(before.attributes)) {
    if (!(name in after.attributes)) node.removeAttribute(name);
  }
  patch(node, after.children);
}

/**
 * @param {SVGSVGElement} drawn
 * @param {Model} model
 */
function drawShape(drawn, model) {
  const name = model.attributes["name"] ?? "none";
  setShape(drawn, name);
  drawn.setAttribute("data-status", name);
}
