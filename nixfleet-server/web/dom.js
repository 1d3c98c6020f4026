// Elements without markup: text only ever becomes text.

const SVG = "http://www.w3.org/2000/svg";

/**
 * Makes an element.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/**
 * What is drawn in a box of 24 × 24: a body and the mark on it. Each has an outline of its own, so
 * that nobody depends on colours.
 * @type {Record<string, { body: string, mark: string }>}
 */
const SHAPES = {
  ok: { body: "M12 2a10 10 0 1 1 0 20 10 10 0 1 1 0-20z", mark: "M7 12.5l3.4 3.4L17 8.8" },
  outdated: {
    body: "M12 2.2 22.8 21a.8.8 0 0 1-.7 1.2H1.9a.8.8 0 0 1-.7-1.2z",
    mark: "M12 9.3v5.4M12 18.4v.1",
  },
  error: {
    body: "M7.6 1.8h8.8l5.8 5.8v8.8l-5.8 5.8H7.6l-5.8-5.8V7.6z",
    mark: "M8.2 8.2l7.6 7.6M15.8 8.2l-7.6 7.6",
  },
  working: {
    body: "M12 3.2a8.8 8.8 0 1 1 0 17.6 8.8 8.8 0 1 1 0-17.6z",
    mark: "M12 3.2a8.8 8.8 0 0 1 8.8 8.8M12 12v.01",
  },
  unknown: { body: "M12 3a9 9 0 1 1 0 18 9 9 0 1 1 0-18z", mark: "" },
  pending: {
    body: "M12 .8 23.2 12 12 23.2.8 12z",
    mark: "M12 16.6V8M8.6 11.2 12 7.8l3.4 3.4",
  },
  none: { body: "", mark: "" },
};

/**
 * One of the shapes. Decoration: what it says is also written beside it.
 * @param {string} name
 * @returns {SVGSVGElement}
 */
export function shape(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "shape");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  for (const part of ["body", "mark"]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", part);
    svg.append(path);
  }
  setShape(svg, name);
  return svg;
}

/**
 * @param {SVGSVGElement} svg
 * @param {string} name
 */
export function setShape(svg, name) {
  const drawn = SHAPES[name];
  if (drawn && svg.dataset["shape"] !== name) {
    svg.dataset["shape"] = name;
    svg.firstElementChild?.setAttribute("d", drawn.body);
    svg.lastElementChild?.setAttribute("d", drawn.mark);
  }
}

/**
 * Sets a text only if it is another one, so that nothing is laid out or read out again.
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) {
    node.textContent = text;
  }
}

/**
 * Sets an attribute only if it has another value.
 * @param {Element} target
 * @param {string} name
 * @param {string} value
 */
export function setAttribute(target, name, value) {
  if (target.getAttribute(name) !== value) {
    target.setAttribute(name, value);
  }
}

/**
 * The element with this id, which the page promises to have.
 * @template {HTMLElement} Kind
 * @param {string} id
 * @param {new () => Kind} kind
 * @returns {Kind}
 */
export function byId(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) {
    throw new Error(`the page has no ${kind.name} with the id ${id}`);
  }
  return found;
}
