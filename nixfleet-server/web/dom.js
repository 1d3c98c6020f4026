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
 * One of the drawn shapes of the page. Decoration: what it says is also written beside it.
 * @param {string} name
 * @returns {SVGSVGElement}
 */
export function shape(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  svg.setAttribute("class", "shape");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  setShape(svg, name);
  return svg;
}

/**
 * @param {SVGSVGElement} svg
 * @param {string} name
 */
export function setShape(svg, name) {
  if (svg.dataset["shape"] !== name) {
    svg.dataset["shape"] = name;
    svg.firstElementChild?.setAttribute("href", `#shape-${name}`);
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
