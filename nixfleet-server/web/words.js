// From codes and parameters to words. The sentences are templates of the server.

/** @import { Coded, CommandView, Status, Tables } from "./types.js" */

/** The five compartments, in the order in which the server sends them. */
export const COMPARTMENTS = /** @type {const} */ (["agent", "git", "lock", "system", "tests"]);

/** @type {Record<string, string>} */
export const COMPARTMENT_NAMES = {
  agent: "Agent",
  git: "Git",
  lock: "Lock",
  system: "System",
  tests: "Tests",
};

/** @type {Record<string, string>} */
const OP_NAMES = {
  pull: "Pull",
  switch: "Switch",
  "pull-switch": "Pull + switch",
  test: "Test",
  rollback: "Roll back",
  "merge-pr": "Merge PR",
  "check-version": "Check version",
  "refresh-git": "Refresh",
  "refresh-lock": "Refresh",
  "refresh-system": "Dry build",
};

/** @type {Record<string, string>} */
const PHASES = {
  PENDING: "queued",
  VALIDATING: "checking",
  BLOCKED: "blocked",
  EXECUTING: "running",
  RUNNING_WARNING: "running longer than usual",
  TIMEOUT_PENDING: "over its time limit",
  KILLING: "stopping",
  KILLED: "stopped",
  AWAITING_RECONNECT: "waiting for the agent to come back",
  VERIFYING: "verifying",
  SUCCESS: "succeeded",
  ERROR: "failed",
  PARTIAL: "goal not reached",
  DEGRADED: "succeeded, units failed",
  TIMEOUT: "the agent did not come back",
  STALE_BINARY: "the agent is still the old one",
  SUSPICIOUS: "the agent's binary did not change",
  SKIPPED: "skipped",
  CANCELLED: "cancelled",
  EXPIRED: "expired",
  SUPERSEDED: "superseded",
};

// Made once: making one costs more than a whole row.
const TIME = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat([], { year: "numeric", month: "short", day: "numeric" });

/** @param {string} op */
export function opName(op) {
  return OP_NAMES[op] ?? capital(op.replaceAll("-", " "));
}

/** @param {string} phase */
export function phaseName(phase) {
  return PHASES[phase] ?? phase.toLowerCase().replaceAll("_", " ");
}

/**
 * The shape of an ended command: how it went, at a glance.
 * @param {string} phase
 */
export function endedShape(phase) {
  if (phase === "SUCCESS") return "ok";
  if (["PARTIAL", "DEGRADED", "STALE_BINARY", "SUSPICIOUS"].includes(phase)) return "outdated";
  if (["SKIPPED", "CANCELLED", "EXPIRED", "SUPERSEDED"].includes(phase)) return "unknown";
  return "error";
}

/**
 * A template with its placeholders replaced; see the core's module of templates for the forms.
 * @param {string} template
 * @param {Record<string, unknown>} parameters
 * @returns {string}
 */
export function fill(template, parameters) {
  return template.replace(/\{([^}|]*)\|?([^}]*)\}/g, (_, name, form) =>
    written(Object.hasOwn(parameters, name) ? parameters[name] : null, form),
  );
}

/**
 * The short sentence of a reason; its code in plain words as long as the tables are not there.
 * @param {?Tables} tables
 * @param {Coded} reason
 */
export function reasonText(tables, reason) {
  const template = tables?.reasons[reason.code];
  return template ? fill(template, reason) : plainCode(reason.code);
}

/**
 * What is said of an update that is pending: what it changes, if that is known.
 * @param {?import("./types.js").PendingPr} pr
 * @param {string} text The sentence without it.
 */
export function pendingText(pr, text) {
  const changes = pr?.changes ?? [];
  return changes.length > 0 ? `Update PR pending: ${changes.join(", ")}` : text;
}

/**
 * What is said beside the statuses of a host.
 * @typedef {{ code: string, label: string, text: string, compartment: ?string }} Note
 *
 * @param {?Tables} tables
 * @param {Coded} attention
 * @returns {Note}
 */
export function attentionNote(tables, attention) {
  const { code } = attention;
  const row = tables?.attentions.find((one) => one.code === code);
  return {
    code,
    label: row?.label ?? plainCode(code),
    text: row ? fill(row.template, attention) : plainCode(code),
    compartment: row?.compartment ?? null,
  };
}

/**
 * The name of an attention in two or three words.
 * @param {?Tables} tables
 * @param {string} code
 */
export function attentionLabel(tables, code) {
  return tables?.attentions.find((one) => one.code === code)?.label ?? plainCode(code);
}

/**
 * What a command is doing, or how it ended.
 * @param {CommandView} command
 * @param {boolean} ended
 */
export function commandText(command, ended) {
  const op = command.op;
  if (ended) {
    const code = command.exit_code;
    const exit = code === undefined || code === 0 ? "" : `, exit code ${code}`;
    const how = command.message ?? phaseName(command.phase);
    return `${op}: ${how}${how.includes("exit code") ? "" : exit}`;
  }
  const progress = command.progress;
  const steps = progress && progress.total > 0 ? ` ${progress.current}/${progress.total}` : "";
  const stage = progress ? ` (${progress.stage}${steps})` : "";
  return `${op}: ${phaseName(command.phase)}${stage} since ${clockTime(command.since)}`;
}

/**
 * A moment as people here write it: the time today, otherwise with the date.
 * @param {number} millis
 */
export function clockTime(millis) {
  const moment = new Date(millis);
  if (Number.isNaN(moment.getTime())) {
    return "?";
  }
  const time = TIME.format(moment);
  const today = moment.toDateString() === new Date().toDateString();
  return today ? time : `${DAY.format(moment)} ${time}`;
}

/** The day of a moment. @param {number} millis */
export function day(millis) {
  const moment = new Date(millis);
  return Number.isNaN(moment.getTime()) ? "?" : DAY.format(moment);
}

/**
 * About how long, in the two largest units.
 * @param {number} seconds
 */
export function lasting(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  /** @type {[number, string][]} */
  const units = [
    [86_400, "d"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ];
  const first = units.findIndex(([length]) => whole >= length);
  if (first < 0) return "0 s";
  const [length, unit] = /** @type {[number, string]} */ (units[first]);
  const [smaller, small] = units[first + 1] ?? [0, ""];
  const rest = smaller === 0 ? 0 : Math.floor((whole % length) / smaller);
  const more = rest > 0 ? ` ${rest} ${small}` : "";
  return `${Math.floor(whole / length)} ${unit}${more}`;
}

/** Who did it. @param {?{ kind: string, name: string } | undefined} actor */
export function actorName(actor) {
  if (!actor) return "somebody";
  return actor.kind === "automation" ? `${actor.name} (automatic)` : actor.name;
}

/** @param {?string | undefined} commit */
export function shortCommit(commit) {
  return commit ? commit.slice(0, 7) : "?";
}

/** @param {number} count @param {string} thing */
export function counted(count, thing) {
  return `${count} ${thing}${count === 1 ? "" : "s"}`;
}

/**
 * @param {unknown} value
 * @param {string} form
 * @returns {string}
 */
function written(value, form) {
  if (value === null || value === undefined) {
    return "?";
  }
  if (form === "commit") return plain(value).slice(0, 7);
  if (form === "lock") return plain(value).slice(0, 8);
  if (form === "code") return plainCode(plain(value));
  if (form === "moment") return typeof value === "number" ? clockTime(value) : plain(value);
  if (form.startsWith("count:")) {
    return `${plain(value)} ${form.slice("count:".length)}${value === 1 ? "" : "s"}`;
  }
  return plain(value);
}

/**
 * @param {unknown} value
 * @returns {string}
 */
function plain(value) {
  if (value === null || value === undefined) return "?";
  if (Array.isArray(value)) return value.map(plain).join(", ");
  if (typeof value === "object") {
    return Object.entries(value)
      .map(([name, inner]) => `${name} ${plain(inner)}`)
      .join(", ");
  }
  return String(value);
}

/** A code in plain words. @param {string} code */
export function plainCode(code) {
  return code.replaceAll("-", " ");
}

/** @param {string} text */
export function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
