// Maintenance windows: the list, and one that is added or changed. Whether it can be taken is said
// by the server.

import { button, field, h, select, table } from "../model.js";
import { one, valuesOf } from "../rollouts/ask.js";
import { capital, clockTime } from "../words.js";
import { putWindow, removeWindow } from "./api.js";

/** @import { Content } from "../model.js" */
/** @import { Sheet } from "../sheet.js" */
/** @import { Window } from "./api.js" */

const DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const CLASSES = ["routine", "security", "rollback", "reboot", "test"];

/** A window, and what the server computed about it. @typedef {Window & { next_opening?: number, open?: boolean }} Known */

/**
 * @param {Known[]} windows
 * @returns {Content[]}
 */
export function windowsView(windows) {
  return [
    h(
      "p",
      { class: "note", key: "about" },
      "When automations may act. A window that denies wins; rollbacks are allowed unless a window names them.",
    ),
    windows.length > 0
      ? h("div", { key: "list" }, table("Maintenance windows", ["Name", "Effect", "When", "Hosts", "For", "Change"], windows.map(row), "named"))
      : h("p", { key: "none" }, "There is no window: automations may act at any time."),
    h("div", { class: "actions", key: "add" }, button("add-window", "Add a window …")),
  ];
}

/** @param {Known} window */
function row(window) {
  const open = window.open === undefined ? "" : window.open ? "; open now" : "; not open now";
  const next = window.next_opening === undefined || window.next_opening === null ? "" : `; next ${clockTime(window.next_opening)}`;
  return {
    key: window.id,
    cells: [
      window.id,
      window.effect,
      `${days(window.days)} ${window.from}–${window.to} ${window.zone}${open}${next}`,
      h("code", {}, window.selector),
      (window.classes ?? []).length > 0 ? window.classes.join(", ") : "all but rollback",
      h(
        "span",
        { class: "actions" },
        button("edit-window", "Change …", { id: window.id }, { "aria-label": `Change window ${window.id}` }),
        button("remove-window", "Remove …", { id: window.id }, { "aria-label": `Remove window ${window.id}` }),
      ),
    ],
  };
}

/** @param {string[] | undefined} list */
function days(list) {
  return !list || list.length === 0 || list.length === DAYS.length ? "every day" : list.map(capital).join(", ");
}

/**
 * @param {Record<string, string[]>} values
 * @returns {Window}
 */
export function windowOf(values) {
  return {
    id: one(values, "id"),
    selector: one(values, "selector"),
    zone: one(values, "zone"),
    classes: values["classes"] ?? [],
    effect: one(values, "effect") === "deny" ? "deny" : "allow",
    days: values["days"] ?? [],
    from: one(values, "from"),
    to: one(values, "to"),
  };
}

/**
 * @param {Partial<Window>} window
 * @returns {Content[]}
 */
export function windowFields(window) {
  const named = window.id !== undefined;
  return [
    h(
      "div",
      { class: "fields" },
      field("Name", h("input", { name: "id", value: window.id, readonly: named, required: true, autocomplete: "off" })),
      field("Effect", select("effect", [["allow", "allow: act only then"], ["deny", "deny: never act then"]], window.effect)),
      field("Hosts", h("input", { name: "selector", value: window.selector ?? "*", required: true, autocomplete: "off", spellcheck: "false" }), "web-*, @tag, location:home, os:nixos, * for all"),
      field("Time zone", h("input", { name: "zone", value: window.zone ?? localZone(), required: true, autocomplete: "off", spellcheck: "false" }), "as in the zone database, like Europe/Vienna"),
      field("From", h("input", { name: "from", value: window.from ?? "02:00", required: true, placeholder: "HH:MM", inputmode: "numeric" })),
      field("To", h("input", { name: "to", value: window.to ?? "05:00", required: true, placeholder: "HH:MM", inputmode: "numeric" }), "not later than From: the next day"),
    ),
    boxes("Days (none: every day)", "days", DAYS, window.days ?? []),
    boxes("For (none: all but rollback)", "classes", CLASSES, window.classes ?? []),
  ];
}

/**
 * @param {string} legend
 * @param {string} name
 * @param {string[]} options
 * @param {string[]} chosen
 */
function boxes(legend, name, options, chosen) {
  return h(
    "fieldset",
    { class: "choices", key: name },
    h("legend", {}, legend),
    ...options.map((value) =>
      h("label", {}, h("input", { type: "checkbox", name, value, checked: chosen.includes(value) }), ` ${capital(value)}`),
    ),
  );
}

/** The zone of the person, as a proposal. */
function localZone() {
  return Intl.DateTimeFormat().resolvedOptions().timeZone ?? "UTC";
}

/**
 * @param {Sheet} sheet
 * @param {Partial<Window>} window
 * @param {() => void} done
 */
export function openWindow(sheet, window, done) {
  const title = window.id === undefined ? "Add a window" : `Window ${window.id}`;
  sheet.open({
    title,
    body: () => windowFields(window),
    actions: () => [{ act: "save", text: "Save", kind: "primary" }],
    onAct: async (_, form) => {
      await putWindow(windowOf(valuesOf(form)));
      sheet.close();
      done();
    },
  });
}

/**
 * @param {Sheet} sheet
 * @param {Window} window
 * @param {() => void} done
 */
export function openRemoveWindow(sheet, window, done) {
  sheet.open({
    title: `Remove window ${window.id}?`,
    body: () => [
      h("p", {}, `${window.effect}: ${days(window.days)} ${window.from}–${window.to} ${window.zone}, on ${window.selector}.`),
      h("p", {}, window.effect === "allow" ? "If it is the last one that allows, automations may act at any time." : "Automations may act then again."),
    ],
    actions: () => [{ act: "remove", text: "Remove", kind: "danger" }],
    onAct: async () => {
      await removeWindow(window.id);
      sheet.close();
      done();
    },
  });
}
