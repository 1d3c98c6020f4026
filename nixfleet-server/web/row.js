// One host as one row: made once, then patched in place. What a row shows is a function of the
// host, its statuses and its commands.

import { element, setAttribute, setShape, setText, shape } from "./dom.js";
import {
  COMPARTMENTS,
  COMPARTMENT_NAMES,
  attentionLabel,
  attentionNote,
  clockTime,
  commandText,
  counted,
  endedShape,
  opName,
  pendingText,
  reasonText,
} from "./words.js";
import { hostPlace } from "./router.js";
import { FINAL_PHASES } from "./state.js";

/** @import { CommandView, HostView, PendingPr, Status, StatusView, Tables } from "./types.js" */
/** @import { Note } from "./words.js" */

/** The operations that every row offers. */
const BUTTONS = ["pull", "switch", "test"];

const OS_NAMES = /** @type {Record<string, string>} */ ({
  nixos: "NixOS",
  macos: "macOS",
  linux: "Linux",
});

export class Row {
  /** @param {string} id */
  constructor(id) {
    this.id = id;
    this.name = element("a", { class: "host-name", href: hostPlace(id) });
    this.presence = element("span", { class: "presence" });
    this.system = element("span", { class: "os" });
    this.dots = COMPARTMENTS.map((compartment) => new Dot(compartment));
    this.attentions = element("ul", { class: "attentions" });
    this.commandShape = shape("none");
    this.command = element("span", { class: "command-text" });
    this.buttons = BUTTONS.map((op) =>
      element("button", { type: "button", class: "op", "data-op": op }, opName(op)),
    );
    const about = element("span", { class: "about" }, this.presence, this.system);
    this.element = element(
      "tr",
      { role: "row", "data-host": id },
      element("th", { role: "rowheader", scope: "row", class: "host" }, this.name, about),
      ...this.dots.map((dot) => cell("of-dot", dot.button)),
      cell("of-attentions", this.attentions),
      cell("of-command", element("span", { class: "command" }, this.commandShape, this.command)),
      cell("of-actions", element("span", { class: "actions" }, ...this.buttons)),
    );
  }

  /**
   * @param {HostView} host
   * @param {StatusView | undefined} statuses
   * @param {CommandView[]} commands
   * @param {?Tables} tables
   * @param {?PendingPr} pr
   */
  patch(host, statuses, commands, tables, pr = null) {
    setText(this.name, host.hostname);
    setText(this.presence, presence(host));
    setAttribute(this.element, "data-online", host.online ? "yes" : "no");
    setText(this.system, operatingSystem(host));
    const notes = (statuses?.a ?? []).map((one) => {
      const note = attentionNote(tables, one);
      const pending = one.code === "update-pending" && one["pr"] === pr?.number;
      return pending ? { ...note, text: pendingText(pr, note.text) } : note;
    });
    this.#patchAttentions(notes);
    for (const [index, dot] of this.dots.entries()) {
      const status = statuses?.s[index] ?? "unknown";
      const reason = statuses?.r[index];
      const sentence = reason ? reasonText(tables, reason) : "not known yet";
      dot.patch(status, sentence, notes);
    }
    this.#patchCommand(commands);
    const busy = commands.some((command) => !FINAL_PHASES.has(command.phase));
    for (const button of this.buttons) {
      const op = button.dataset["op"] ?? "";
      // Not `disabled`: the focus of the keyboard would be lost while the command runs.
      setAttribute(button, "aria-disabled", busy ? "true" : "false");
      setAttribute(button, "aria-label", `${opName(op)} ${host.hostname}`);
    }
  }

  /** @param {Note[]} notes */
  #patchAttentions(notes) {
    const key = JSON.stringify(notes);
    if (this.attentions.dataset["key"] === key) {
      return;
    }
    this.attentions.dataset["key"] = key;
    const badges = notes.map(({ code, label, text }) => {
      const more = element("span", { class: "unseen" }, `: ${text}`);
      return element("li", { class: "badge", "data-attention": code, title: text }, label, more);
    });
    this.attentions.replaceChildren(...badges);
  }

  /** @param {CommandView[]} commands */
  #patchCommand(commands) {
    const open = commands.filter((command) => !FINAL_PHASES.has(command.phase));
    const ended = commands.find((command) => FINAL_PHASES.has(command.phase));
    const shown = open.length > 0 ? open : ended ? [ended] : [];
    setText(this.command, shown.map((one) => commandText(one, one === ended)).join("; "));
    setAttribute(this.command, "title", this.command.textContent ?? "");
    const name = open.length > 0 ? "working" : ended ? endedShape(ended.phase) : "none";
    setShape(this.commandShape, name);
    setAttribute(this.commandShape, "data-status", name);
  }
}

/** One compartment of a host. */
class Dot {
  /** @param {string} compartment */
  constructor(compartment) {
    this.compartment = compartment;
    this.shape = shape("unknown");
    const name = element("span", { class: "dot-name", "aria-hidden": "true" });
    name.textContent = COMPARTMENT_NAMES[compartment] ?? compartment;
    this.button = element("button", {
      type: "button",
      class: "dot",
      "data-compartment": compartment,
      "aria-haspopup": "dialog",
    });
    this.button.append(this.shape, name);
  }

  /**
   * @param {Status} status
   * @param {string} sentence
   * @param {Note[]} notes
   */
  patch(status, sentence, notes) {
    const beside = notes.filter((note) => note.compartment === this.compartment);
    const pending = beside.some((note) => note.code === "update-pending");
    const sentences = [sentence, ...beside.map((note) => note.text)];
    const title = `${COMPARTMENT_NAMES[this.compartment]}: ${statusName(status, pending)}`;
    setAttribute(this.button, "aria-label", [title, sentences.join(". ")].join(": "));
    setAttribute(this.button, "data-title", title);
    setAttribute(this.button, "data-short", sentences.join("\n"));
    setAttribute(this.button, "data-status", status);
    setAttribute(this.button, "data-pending", pending ? "yes" : "no");
    setShape(this.shape, pending && status === "ok" ? "pending" : status);
  }
}

/**
 * @param {Status} status
 * @param {boolean} pending
 */
function statusName(status, pending) {
  return pending ? `${status}, update pending` : status;
}

/**
 * The sum over all hosts. Whether a host is green is said by the server.
 * @param {Iterable<HostView>} hosts
 * @param {Map<string, StatusView>} statuses
 * @param {?Tables} tables
 */
export function totals(hosts, statuses, tables) {
  const sum = { hosts: 0, online: 0, green: 0, attentions: "" };
  /** @type {Map<string, number>} */
  const beside = new Map();
  for (const host of hosts) {
    const status = statuses.get(host.id);
    sum.hosts += 1;
    sum.online += host.online ? 1 : 0;
    sum.green += status?.g ? 1 : 0;
    for (const attention of status?.a ?? []) {
      const label = attentionLabel(tables, attention.code);
      beside.set(label, (beside.get(label) ?? 0) + 1);
    }
  }
  const lines = [...beside].map(([label, count]) => `${label}: ${counted(count, "host")}`);
  sum.attentions = lines.length > 0 ? lines.join(", ") : "none";
  return sum;
}

/** @param {HostView} host */
function presence(host) {
  if (host.online) {
    return "online";
  }
  return host.offline_since === undefined
    ? "never seen"
    : `offline since ${clockTime(host.offline_since)}`;
}

/** @param {HostView} host */
function operatingSystem(host) {
  const name = host.host_type ? (OS_NAMES[host.host_type] ?? host.host_type) : "";
  const version = host.os_version ?? "";
  return version.toLowerCase().includes(name.toLowerCase()) ? version : `${name} ${version}`.trim();
}

/**
 * @param {string} kind
 * @param {Node} content
 */
function cell(kind, content) {
  return element("td", { role: "cell", class: kind }, content);
}
