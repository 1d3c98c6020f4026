// How automation treats a host: what is set here, and what is left to the host and the defaults.

import { button, field, h, select } from "../model.js";
import { one, valuesOf, words } from "../rollouts/ask.js";
import { fact } from "../rollouts/plan.js";
import { putSettings } from "../upkeep/api.js";

/** @import { Content } from "../model.js" */
/** @import { Sheet } from "../sheet.js" */
/** @import { Settings } from "../upkeep/api.js" */

/**
 * @param {Settings} settings
 * @param {string} host
 * @returns {Content[]}
 */
export function settingsView(settings, host) {
  const { priority, tags = [] } = settings;
  return [
    h(
      "dl",
      { class: "facts", key: "facts" },
      fact("Automatic updates", said(settings.auto_update)),
      fact("Priority", priority === undefined || priority === null ? "as the host says" : String(priority)),
      fact("Canary", said(settings.canary)),
      fact("Tests after a switch", said(settings.tests_after_switch)),
      fact("Tags", tags.length > 0 ? tags.join(", ") : "none"),
      settings.runs_server ? fact("This server", "runs on it: it goes last") : null,
    ),
    h("div", { class: "actions", key: "change" }, button("settings", "Change …", { host })),
  ];
}

/** @param {?boolean | undefined} value */
function said(value) {
  return value === undefined || value === null ? "as the host says" : value ? "on" : "off";
}

/**
 * @param {Record<string, string[]>} values
 * @returns {Settings}
 */
export function settingsOf(values) {
  const choice = (/** @type {string} */ name) => {
    const chosen = one(values, name);
    return chosen === "" ? null : chosen === "yes";
  };
  const priority = one(values, "priority");
  return {
    auto_update: choice("auto_update"),
    priority: priority === "" ? null : Number(priority),
    canary: choice("canary"),
    tests_after_switch: choice("tests_after_switch"),
    tags: words(one(values, "tags")),
    runs_server: (values["runs_server"] ?? []).length > 0,
  };
}

/**
 * @param {Sheet} sheet
 * @param {string} host
 * @param {string} name
 * @param {Settings} settings
 * @param {() => void} done
 */
export function openSettings(sheet, host, name, settings, done) {
  const choice = (/** @type {string} */ field, /** @type {?boolean | undefined} */ value) =>
    select(
      field,
      [["", "as the host says"], ["yes", "on"], ["no", "off"]],
      value === undefined || value === null ? "" : value ? "yes" : "no",
    );
  sheet.open({
    title: `Settings of ${name}`,
    body: () => [
      h(
        "div",
        { class: "fields" },
        field("Automatic updates", choice("auto_update", settings.auto_update)),
        field("Priority", h("input", { name: "priority", type: "number", step: 1, value: settings.priority }), "lower goes first"),
        field("Canary", choice("canary", settings.canary)),
        field("Tests after a switch", choice("tests_after_switch", settings.tests_after_switch)),
        field("Tags", h("input", { name: "tags", value: (settings.tags ?? []).join(" "), autocomplete: "off", spellcheck: "false" }), "for selectors: @tag"),
      ),
      h("label", {}, h("input", { type: "checkbox", name: "runs_server", value: "yes", checked: settings.runs_server ?? false }), " This server runs on it"),
    ],
    actions: () => [{ act: "save", text: "Save", kind: "primary" }],
    onAct: async (_, form) => {
      await putSettings(host, settingsOf(valuesOf(form)));
      sheet.close();
      done();
    },
  });
}
