// Holds: which hosts every automation keeps away from, who said so, and why.

import { button, field, h, table } from "../model.js";
import { one, valuesOf } from "../rollouts/ask.js";
import { names } from "../rollouts/plan.js";
import { capital, clockTime } from "../words.js";
import { hold, holdBySelector, release, releaseSelector } from "./api.js";

/** @import { Content } from "../model.js" */
/** @import { Sheet } from "../sheet.js" */
/** @import { HostView } from "../types.js" */
/** @import { SelectorHold } from "./api.js" */

/**
 * @param {Iterable<HostView>} hosts
 * @param {SelectorHold[] | string} selected Holds by selector, or what there is to say instead.
 * @param {(host: string) => string} nameOf
 * @returns {Content[]}
 */
export function holdsView(hosts, selected = [], nameOf = (host) => host) {
  const held = [...hosts].filter((host) => host.hold);
  return [
    held.length > 0
      ? h("div", { key: "list" }, table("Held hosts", ["Host", "Why", "By", "Until", "Change"], held.map(row), "named"))
      : h("p", { key: "none" }, "No host is held."),
    typeof selected === "string"
      ? h("p", { class: "note", key: "said" }, selected || "Asking the server for holds by selector …")
      : selected.length > 0
        ? h("div", { key: "selected" }, table("Holds by selector", ["Selector", "Why", "By", "Until", "Hosts now", "Change"], selected.map((one) => selectorRow(one, nameOf))))
        : null,
    h("div", { class: "actions", key: "add" }, button("hold", "Hold hosts …")),
  ];
}

/** @param {HostView} host */
function row(host) {
  const held = host.hold;
  const own = host.held_by_selector === undefined || host.own_hold;
  return {
    key: host.id,
    cells: [
      host.hostname,
      held?.why ?? "",
      held?.by ?? "",
      ending(held?.until),
      own
        ? button("release", "Release …", { host: host.id }, { "aria-label": `Release ${host.hostname}` })
        : button("release-selector", "Release selector …", { id: host.held_by_selector }, { "aria-label": `Release the selector that holds ${host.hostname}` }),
    ],
  };
}

/**
 * @param {SelectorHold} one
 * @param {(host: string) => string} nameOf
 */
function selectorRow(one, nameOf) {
  return {
    key: String(one.id),
    cells: [
      h("code", {}, one.selector),
      one.why,
      one.by,
      ending(one.until),
      one.hosts.length > 0 ? names(one.hosts, nameOf) : "none",
      button("release-selector", "Release …", { id: one.id }, { "aria-label": `Release ${one.selector}` }),
    ],
  };
}

/** @param {?number | undefined} until */
function ending(until) {
  return until === undefined || until === null ? "released by a person" : clockTime(until);
}

/**
 * What holds a host, in words, and what can be done about it.
 * @param {HostView} host
 * @returns {Content[]}
 */
export function hostHoldView(host) {
  const { hold, id, own_hold: own, held_by_selector: selector } = host;
  if (!hold) {
    return [
      h("p", { key: "none" }, "Automations may act on it."),
      h("div", { class: "actions", key: "hold" }, button("hold", "Hold …", { host: id })),
    ];
  }
  return [
    h("p", { key: "held" }, capital(heldText(hold))),
    own ? h("p", { key: "own" }, `Beside that: ${heldText(own)}`) : null,
    selector !== undefined && !own
      ? h("p", { class: "note", key: "where" }, h("a", { href: "#upkeep" }, "Holds by selector"), " are released under Maintenance.")
      : h("div", { class: "actions", key: "release" }, button("release", "Release …", { host: id })),
  ];
}

/** @param {{ by: string, why: string, until: ?number }} hold */
function heldText({ by, why, until }) {
  const end = until === null || until === undefined ? "until somebody releases it" : `until ${clockTime(until)}`;
  return `held by ${by} ${end}: ${why}`;
}

/**
 * How long it is to an end, as the server reads it; nothing without one.
 * @param {string} end A local date and time, or nothing.
 * @param {number} now
 */
export function until(end, now) {
  if (end === "") return undefined;
  const seconds = Math.round((new Date(end).getTime() - now) / 1000);
  if (!(seconds > 0)) throw new Error("The end of the hold is in the past: choose a later one.");
  return `${seconds}s`;
}

/**
 * @param {Sheet} sheet
 * @param {Iterable<HostView>} all
 * @param {string[]} chosen
 * @param {() => void} [done]
 */
export function openHold(sheet, all, chosen, done = () => {}) {
  // What was placed before something failed is not placed again; a host that is to have another reason
  // or end is.
  /** @type {Set<string>} */
  const placed = new Set();
  const once = async (/** @type {string} */ what, /** @type {() => Promise<unknown>} */ place) => {
    if (placed.has(what)) return;
    await place();
    placed.add(what);
  };
  const hosts = [...all].sort((one, other) => one.hostname.localeCompare(other.hostname));
  sheet.open({
    title: "Hold hosts",
    body: () => [
      h("p", { class: "note" }, "No automation starts anything on a held host. What runs goes on to its end."),
      h(
        "fieldset",
        { class: "choices hosts-choice" },
        h("legend", {}, "Hosts"),
        ...hosts.map((host) =>
          h("label", {}, h("input", { type: "checkbox", name: "hosts", value: host.id, checked: chosen.includes(host.id) }), ` ${host.hostname}`),
        ),
      ),
      field("Or a selector", h("input", { name: "selector", autocomplete: "off", spellcheck: "false", maxlength: 1024 }), "every host that it matches, now or later: @tag, type:server, location:home, web-*, !web-9"),
      field("Why", h("input", { name: "why", required: true, maxlength: 500, autocomplete: "off" })),
      field("Until", h("input", { name: "until", type: "datetime-local" }), "Empty: until somebody releases it."),
    ],
    actions: () => [{ act: "hold", text: "Hold", kind: "primary" }],
    onAct: async (_, form) => {
      const values = valuesOf(form);
      const lasting = until(one(values, "until"), Date.now());
      const named = values["hosts"] ?? [];
      const selector = one(values, "selector");
      if (named.length === 0 && selector === "") return "Choose at least one host, or write a selector.";
      const why = one(values, "why");
      if (selector !== "") await once(`selector ${selector}`, () => holdBySelector(selector, why, lasting));
      for (const host of named) {
        await once(JSON.stringify([host, why, lasting]), () => hold(host, why, lasting));
      }
      sheet.close();
      done();
      return undefined;
    },
  });
}

/**
 * @param {Sheet} sheet
 * @param {HostView} host
 */
export function openRelease(sheet, host) {
  const own = host.own_hold ?? host.hold;
  if (!own) return;
  sheet.open({
    title: `Release ${host.hostname}?`,
    body: () => [
      h("p", {}, capital(`${heldText(own)}.`)),
      host.own_hold && host.hold
        ? h("p", {}, `It stays ${heldText(host.hold)}.`)
        : h("p", {}, "Automations may act again on: ", names([host.id], () => host.hostname)),
    ],
    actions: () => [{ act: "release", text: "Release", kind: "primary" }],
    onAct: async () => {
      await release(host.id);
      sheet.close();
    },
  });
}

/**
 * @param {Sheet} sheet
 * @param {SelectorHold} one
 * @param {(host: string) => string} nameOf
 * @param {() => void} done
 */
export function openReleaseSelector(sheet, one, nameOf, done) {
  sheet.open({
    title: `Release ${one.selector}?`,
    body: () => [
      h("p", {}, capital(`${heldText(one)}.`)),
      one.hosts.length > 0
        ? h("p", {}, "Automations may act again, as far as nothing else holds them, on: ", names(one.hosts, nameOf))
        : h("p", {}, "It matches no host now."),
    ],
    actions: () => [{ act: "release", text: "Release", kind: "primary" }],
    onAct: async () => {
      await releaseSelector(one.id);
      sheet.close();
      done();
    },
  });
}
