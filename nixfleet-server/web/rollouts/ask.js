// What is asked of a rollout: the fields, and what they say as the server reads it. A field that is
// left alone is not sent: then the server's default holds.

import { field, h, select } from "../model.js";

/** @import { Content } from "../model.js" */
/** @import { Ask, Policy } from "./types.js" */

const DEFAULT = /** @type {[string, string]} */ (["", "as usual"]);

/**
 * @param {{ hosts?: string, hint?: string }} [given]
 * @returns {Content[]}
 */
export function askFields({ hosts = "", hint } = {}) {
  return [
    field(
      "Hosts",
      h("input", { name: "hosts", value: hosts, autocomplete: "off", spellcheck: "false", placeholder: "all online" }),
      hint ?? "Empty: every host that is online. Names and selectors: web-*, @tag, location:home, os:nixos, !db-1",
    ),
    h(
      "details",
      { key: "policy" },
      h("summary", {}, "Policy"),
      h("div", { class: "fields" }, ...policyFields()),
    ),
  ];
}

/** @returns {Content[]} */
function policyFields() {
  const number = (/** @type {string} */ name, /** @type {number} */ min) =>
    h("input", { name, type: "number", min, step: 1, inputmode: "numeric" });
  return [
    field(
      "Canaries",
      select("canaries", [DEFAULT, ["flagged", "hosts set to be canaries"], ["none", "none"], ["count", "a number"], ["hosts", "these hosts"]]),
    ),
    field("Number or names of canaries", h("input", { name: "canary_value", autocomplete: "off" })),
    field("Watch canaries for (minutes)", number("soak_minutes", 0)),
    field("Most in flight", h("input", { name: "max_in_flight", autocomplete: "off", placeholder: "5 or 20%" })),
    h(
      "fieldset",
      { class: "choices" },
      h("legend", {}, "Stages (none: as usual)"),
      ...["pull", "switch", "test"].map((stage) =>
        h("label", {}, h("input", { type: "checkbox", name: "stages", value: stage }), ` ${stage}`),
      ),
    ),
    field("Order", select("barrier", [DEFAULT, ["no", "host by host"], ["yes", "each stage on all hosts first"]])),
    field("On failure", select("on_failure", [DEFAULT, ["stop", "stop"], ["continue", "go on up to a number"]])),
    field("Failures that are borne", number("failures", 1)),
    field(
      "Roll back by itself",
      select("roll_back", [
        DEFAULT,
        ["none", "nothing"],
        ["failed-hosts", "failed hosts"],
        ["all-hosts", "all hosts"],
        ["all-hosts-and-revert", "all hosts, and open a revert"],
      ]),
    ),
    field("Offline hosts", select("offline", [DEFAULT, ["skip", "leave out"], ["wait", "wait for them"], ["queue", "wait until"]])),
    field("Wait until", h("input", { name: "queue_until", type: "datetime-local" })),
    field("Waves", select("approve_waves", [DEFAULT, ["no", "start by themselves"], ["yes", "each is approved by a person"]])),
    field("Counts as", select("class", [DEFAULT, ["routine", "routine"], ["security", "security"]])),
  ];
}

/**
 * What a form holds: names with one text, or with several.
 * @param {HTMLFormElement} form
 * @returns {Record<string, string[]>}
 */
export function valuesOf(form) {
  /** @type {Record<string, string[]>} */
  const values = {};
  for (const [name, value] of new FormData(form)) {
    (values[name] ??= []).push(String(value).trim());
  }
  return values;
}

/**
 * @param {Record<string, string[]>} values
 * @returns {Ask}
 */
export function askOf(values) {
  const hosts = one(values, "hosts");
  const policy = policyOf(values);
  return {
    ...(hosts === "" ? {} : { hosts }),
    ...(Object.keys(policy).length === 0 ? {} : { policy }),
  };
}

/**
 * @param {Record<string, string[]>} values
 * @returns {Partial<Policy>}
 */
function policyOf(values) {
  /** @type {Record<string, unknown>} */
  const policy = {};
  const said = (/** @type {string} */ name) => one(values, name);
  const value = said("canary_value");
  if (said("canaries") === "count") policy["canaries"] = { count: Number(value) };
  else if (said("canaries") === "hosts") policy["canaries"] = { hosts: words(value) };
  else if (said("canaries") !== "") policy["canaries"] = said("canaries");
  if (said("soak_minutes") !== "") policy["soak_seconds"] = Number(said("soak_minutes")) * 60;
  const most = said("max_in_flight");
  if (most.endsWith("%")) policy["max_in_flight"] = { percent: Number(most.slice(0, -1)) };
  else if (most !== "") policy["max_in_flight"] = { count: Number(most) };
  const stages = values["stages"] ?? [];
  if (stages.length > 0) policy["stages"] = stages;
  if (said("barrier") !== "") policy["barrier"] = said("barrier") === "yes";
  if (said("on_failure") === "stop") policy["on_failure"] = "stop";
  if (said("on_failure") === "continue") {
    policy["on_failure"] = { continue_up_to: Number(said("failures")) };
  }
  if (said("roll_back") !== "") policy["roll_back"] = said("roll_back");
  if (said("offline") === "queue") {
    policy["offline"] = { queue_until: new Date(said("queue_until")).getTime() };
  } else if (said("offline") !== "") {
    policy["offline"] = said("offline");
  }
  if (said("approve_waves") !== "") policy["approve_waves"] = said("approve_waves") === "yes";
  if (said("class") !== "") policy["class"] = said("class");
  return policy;
}

/** @param {Record<string, string[]>} values @param {string} name */
export function one(values, name) {
  return values[name]?.[0] ?? "";
}

/** The words of a list. @param {string} text */
export function words(text) {
  return text.split(/[\s,]+/).filter((word) => word !== "");
}
