// Holds: which hosts every automation keeps away from, who said so, and why.

import { button, field, h, table } from "../model.js";
import { one, valuesOf } from "../rollouts/ask.js";
import { names } from "../rollouts/plan.js";
import { clockTime } from "../words.js";
import { hold, release } from "./api.js";

/** @import { Content } from "../model.js" */
/** @import { Sheet } from "../sheet.js" */
/** @import { HostView } from "../types.js" */

/**
 * @param {Iterable<HostView>} hosts
 * @returns {Content[]}
 */
export function holdsView(hosts) {
  const held = [...hosts].filter((host) => host.hold);
  return [
    held.length > 0
      ? h("div", { key: "list" }, table("Held hosts", ["Host", "Why", "By", "Until", "Change"], held.map(row), "named"))
      : h("p", { key: "none" }, "No host is held."),
    h("div", { class: "actions", key: "add" }, button("hold", "Hold hosts …")),
  ];
}

/** @param {HostView} host */
function row(host) {
  const held = host.hold;
  return {
    key: host.id,
    cells: [
      host.hostname,
      held?.why ?? "",
      held?.by ?? "",
      held?.until === undefined || held.until === null ? "released by a person" : clockTime(held.until),
      button("release", "Release …", { host: host.id }, { "aria-label": `Release ${host.hostname}` }),
    ],
  };
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
 */
export function openHold(sheet, all, chosen) {
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
      field("Why", h("input", { name: "why", required: true, maxlength: 500, autocomplete: "off" })),
      field("Until", h("input", { name: "until", type: "datetime-local" }), "Empty: until somebody releases it."),
    ],
    actions: () => [{ act: "hold", text: "Hold", kind: "primary" }],
    onAct: async (_, form) => {
      const values = valuesOf(form);
      const lasting = until(one(values, "until"), Date.now());
      const named = values["hosts"] ?? [];
      if (named.length === 0) return "Choose at least one host.";
      for (const host of named) {
        await hold(host, one(values, "why"), lasting);
      }
      sheet.close();
      return undefined;
    },
  });
}

/**
 * @param {Sheet} sheet
 * @param {HostView} host
 */
export function openRelease(sheet, host) {
  sheet.open({
    title: `Release ${host.hostname}?`,
    body: () => [
      h("p", {}, `Held by ${host.hold?.by ?? "?"}: ${host.hold?.why ?? "?"}.`),
      h("p", {}, "Automations may act again on: ", names([host.id], () => host.hostname)),
    ],
    actions: () => [{ act: "release", text: "Release", kind: "primary" }],
    onAct: async () => {
      await release(host.id);
      sheet.close();
    },
  });
}
