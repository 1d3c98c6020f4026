// What a view shows, as plain values: a view is a pure function from what the server says to a
// model, which the patcher makes real. A model has no functions in it; what a button asks for is
// written into its `data-act`.

import { clockTime } from "./words.js";

/**
 * @typedef {{ tag: string, attributes: Record<string, string>, children: Child[], key: ?string }} Model
 * @typedef {Model | string} Child
 * @typedef {Child | any[] | null | undefined | false} Content What may stand in an element;
 *   nothing is left out, and lists may hold lists.
 */

/**
 * Elements that a view may have; there is none that loads or runs anything.
 */
const TAGS = new Set(
  (
    "a article aside b bdi button caption code dd details div dl dt em fieldset form h2 h3 h4 header " +
    "input kbd label legend li nav ol optgroup option p progress section select small span " +
    "strong summary table tbody td textarea tfoot th thead time tr ul shape"
  ).split(" "),
);

/**
 * One element. Attributes that are `null`, `undefined` or `false` are left out; `true` is empty.
 * @param {string} tag
 * @param {Record<string, string | number | boolean | null | undefined>} [attributes] `key` names
 *   the element among its siblings.
 * @param {...Content} children
 * @returns {Model}
 */
export function h(tag, attributes = {}, ...children) {
  if (!TAGS.has(tag)) {
    throw new Error(`a view has no <${tag}>`);
  }
  /** @type {Record<string, string>} */
  const kept = {};
  let key = null;
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "key") {
      key = String(value);
    } else if (/^on|^style$|^src|^form(action|target)?$/i.test(name)) {
      throw new Error(`a view has no attribute ${name}`);
    } else {
      kept[name] = value === true ? "" : String(value);
    }
  }
  if ("href" in kept && !isAddress(kept["href"] ?? "")) {
    delete kept["href"];
  }
  return { tag, attributes: kept, children: flat(children), key };
}

/**
 * A link to another site, or just its text if the address is not one of the web.
 * @param {string | undefined | null} address
 * @param {...Content} children
 * @returns {Model}
 */
export function outside(address, ...children) {
  return address && isWebAddress(address)
    ? h("a", { href: address, rel: "noreferrer noopener", target: "_blank" }, ...children)
    : h("span", {}, ...children);
}

/**
 * A button that asks for something; `data` becomes `data-…` attributes.
 * @param {string} act
 * @param {string} text
 * @param {Record<string, string | number | undefined>} [data]
 * @param {Record<string, string | number | boolean | null | undefined>} [more]
 */
export function button(act, text, data = {}, more = {}) {
  /** @type {Record<string, string | number | undefined>} */
  const attributes = { "data-act": act };
  for (const [name, value] of Object.entries(data)) {
    attributes[`data-${name}`] = value;
  }
  return h("button", { type: "button", ...attributes, ...more }, text);
}

/**
 * Texts one after the other; what one of them does with the direction of writing stays in it.
 * @param {string[]} texts
 * @returns {Content[]}
 */
export function apart(texts) {
  return texts.map((text, index) => [index > 0 ? "; " : null, h("bdi", {}, ...withTimes(text))]);
}

/** Moments as the server writes them into sentences. */
const MOMENTS = /\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?Z/g;

/**
 * A sentence of the server, with its moments as people here write them.
 * @param {string} text
 * @returns {Content[]}
 */
export function withTimes(text) {
  const parts = [];
  let from = 0;
  for (const found of text.matchAll(MOMENTS)) {
    const [moment] = found;
    const millis = Date.parse(moment);
    if (Number.isNaN(millis)) continue;
    parts.push(text.slice(from, found.index), h("time", { datetime: moment, title: moment }, clockTime(millis)));
    from = found.index + moment.length;
  }
  return [...parts, text.slice(from)];
}

/** A status as a shape and a word. @param {string} status @param {string} text */
export function mark(status, text) {
  return h("span", { class: "marked" }, h("shape", { name: status }), " ", text);
}

/**
 * A label with its control.
 * @param {string} text
 * @param {Model} control
 * @param {string} [hint]
 */
export function field(text, control, hint) {
  return h(
    "label",
    { class: "field" },
    h("span", { class: "field-name" }, text),
    control,
    hint ? h("small", {}, hint) : null,
  );
}

/**
 * A choice.
 * @param {string} name
 * @param {[string, string][]} options Value and text.
 * @param {string} [chosen]
 */
export function select(name, options, chosen) {
  return h(
    "select",
    { name },
    ...options.map(([value, text]) =>
      h("option", { value, selected: value === chosen }, text),
    ),
  );
}

/**
 * A table with a caption; cells are contents.
 * @param {string} caption
 * @param {string[]} columns
 * @param {{ key?: string, state?: string, cells: Content[] }[]} rows The first cell names the row.
 * @param {string} [kind]
 */
export function table(caption, columns, rows, kind = "") {
  return h(
    "table",
    { role: "table", class: `grid ${kind}`.trim() },
    h("caption", {}, caption),
    h(
      "thead",
      { role: "rowgroup" },
      h(
        "tr",
        { role: "row" },
        ...columns.map((column) => h("th", { role: "columnheader", scope: "col" }, column)),
      ),
    ),
    h(
      "tbody",
      { role: "rowgroup" },
      ...rows.map(({ key, state, cells }) =>
        h(
          "tr",
          { role: "row", key, "data-state": state },
          ...cells.map((cell, index) =>
            index === 0
              ? h("th", { role: "rowheader", scope: "row" }, cell)
              : h("td", { role: "cell", "data-column": columns[index] }, whole(cell)),
          ),
        ),
      ),
    ),
  );
}

/** A cell's content as one box, where there is any. @param {Content} cell */
function whole(cell) {
  return textOf(cell) === "" ? null : h("div", {}, cell);
}

/**
 * The text of a model, as a reader sees it.
 * @param {Content} content
 * @returns {string}
 */
export function textOf(content) {
  if (!content) return "";
  if (typeof content === "string") return content;
  if (Array.isArray(content)) return content.map(textOf).join("");
  return content.children.map(textOf).join("");
}

/**
 * Every element of a model that fits, in order.
 * @param {Content} content
 * @param {(model: Model) => boolean} fits
 * @returns {Model[]}
 */
export function findAll(content, fits) {
  if (!content || typeof content === "string") return [];
  if (Array.isArray(content)) return content.flatMap((one) => findAll(one, fits));
  const below = content.children.flatMap((one) => findAll(one, fits));
  return fits(content) ? [content, ...below] : below;
}

/** @param {string} address */
export function isWebAddress(address) {
  try {
    return ["http:", "https:"].includes(new URL(address).protocol);
  } catch {
    return false;
  }
}

/** An address of the web, or a place in this page. @param {string} address */
function isAddress(address) {
  return address.startsWith("#") || isWebAddress(address);
}

/**
 * Contents without what is left out, and without lists in lists.
 * @param {Content[]} contents
 * @returns {Child[]}
 */
export function flat(contents) {
  return contents.flatMap((one) => {
    if (!one) return [];
    if (Array.isArray(one)) return flat(one);
    return [one];
  });
}
