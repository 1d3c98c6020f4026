// The state a client holds: entities by key, replaced whole. The counterpart of `SyncState` in the
// core; it knows the same rules and no others: replace by key, a removed host takes its commands
// along, of the ended commands of a host only the newest stays, events and ended rollouts are bounded.

/** @import { Change, CommandView, DesiredView, EventView, HostView, PendingPr, StatePart, StatusView } from "./types.js" */
/** @import { RolloutView } from "./rollouts/types.js" */
/** @import { UpdatesView } from "./updates/types.js" */

/** How many events are kept. */
export const KEPT_EVENTS = 200;

/** How many ended rollouts are kept. */
export const KEPT_ROLLOUTS = 20;

/** States a rollout does not leave by itself: part of the protocol. */
export const ENDED_ROLLOUTS = new Set([
  "complete",
  "partial",
  "failed",
  "halted",
  "cancelled",
  "superseded",
]);

/** Phases a command does not leave: part of the protocol, compared with the core by a test. */
export const FINAL_PHASES = new Set([
  "BLOCKED",
  "KILLED",
  "SUCCESS",
  "ERROR",
  "PARTIAL",
  "DEGRADED",
  "TIMEOUT",
  "STALE_BINARY",
  "SUSPICIOUS",
  "SKIPPED",
  "CANCELLED",
  "EXPIRED",
  "SUPERSEDED",
]);

export class State {
  /** @type {?DesiredView} */
  desired = null;
  /** @type {?PendingPr} */
  updatePr = null;
  /** @type {Map<string, HostView>} */
  hosts = new Map();
  /** @type {Map<string, StatusView>} */
  statuses = new Map();
  /** Commands by host, then by id. @type {Map<string, Map<string, CommandView>>} */
  commands = new Map();
  /** @type {Map<number, EventView>} */
  events = new Map();
  /** @type {Map<string, RolloutView>} */
  rollouts = new Map();
  /** Open and merged updates; none where no forge is configured. @type {?UpdatesView} */
  updates = null;

  /**
   * The commands of a host: open ones and the last ended one.
   * @param {string} host
   * @returns {CommandView[]}
   */
  commandsOf(host) {
    return [...(this.commands.get(host)?.values() ?? [])];
  }

  /**
   * Applies a change.
   * @param {Change} change
   * @returns {?string} The host whose row it concerns, if it concerns one.
   */
  apply(change) {
    const [kind, value] = Object.entries(change)[0] ?? ["", null];
    switch (kind) {
      case "host_added":
      case "host_updated":
        this.hosts.set(value.id, value);
        return value.id;
      case "status_updated":
        this.statuses.set(value.id, value);
        return value.id;
      case "host_removed":
        this.hosts.delete(value);
        this.statuses.delete(value);
        this.commands.delete(value);
        return value;
      case "command_started":
      case "command_progress":
      case "command_finished":
        this.#putCommand(value);
        return value.host;
      case "update_pr_changed":
        this.updatePr = value;
        return null;
      case "desired_changed":
        this.desired = value;
        return null;
      case "event":
        this.#putEvent(value);
        return null;
      case "rollout_updated":
        this.#putRollout(value);
        return null;
      case "updates_changed":
        this.updates = value;
        return null;
      default:
        // A newer server may know changes that this page does not show.
        return null;
    }
  }

  /**
   * Takes in one part of a full state.
   * @param {StatePart} part
   */
  merge(part) {
    this.desired = part.desired ?? this.desired;
    this.updatePr = part.update_pr ?? this.updatePr;
    this.updates = part.updates ?? this.updates;
    for (const [id, rollout] of Object.entries(part.rollouts ?? {})) {
      this.rollouts.set(id, rollout);
    }
    for (const [id, host] of Object.entries(part.hosts ?? {})) {
      this.hosts.set(id, host);
    }
    for (const [id, status] of Object.entries(part.statuses ?? {})) {
      this.statuses.set(id, status);
    }
    for (const command of Object.values(part.commands ?? {})) {
      this.#commandsFor(command.host).set(command.id, command);
    }
    for (const event of Object.values(part.events ?? {})) {
      this.events.set(event.n, event);
    }
  }

  /** The state as the server writes it, for comparison. @returns {StatePart} */
  toJSON() {
    /** @type {StatePart} */
    const plain = {};
    const commands = [...this.commands.values()].flatMap((some) => [...some]);
    if (this.desired) plain.desired = this.desired;
    if (this.updatePr) plain.update_pr = this.updatePr;
    if (this.hosts.size) plain.hosts = Object.fromEntries(this.hosts);
    if (this.statuses.size) plain.statuses = Object.fromEntries(this.statuses);
    if (commands.length) plain.commands = Object.fromEntries(commands);
    if (this.events.size) plain.events = Object.fromEntries(this.events);
    if (this.rollouts.size) plain.rollouts = Object.fromEntries(this.rollouts);
    if (this.updates) plain.updates = this.updates;
    return plain;
  }

  /** @param {CommandView} command */
  #putCommand(command) {
    const own = this.#commandsFor(command.host);
    if (FINAL_PHASES.has(command.phase)) {
      const ended = [...own.values()].filter((one) => FINAL_PHASES.has(one.phase));
      if (ended.some((one) => one.seq > command.seq)) {
        own.delete(command.id);
        return;
      }
      for (const one of ended) {
        own.delete(one.id);
      }
    }
    own.set(command.id, command);
  }

  /** @param {string} host */
  #commandsFor(host) {
    let own = this.commands.get(host);
    if (!own) {
      own = new Map();
      this.commands.set(host, own);
    }
    return own;
  }

  /** @param {RolloutView} rollout */
  #putRollout(rollout) {
    this.rollouts.set(rollout.id, rollout);
    const ended = [...this.rollouts.values()]
      .filter((one) => ENDED_ROLLOUTS.has(one.state))
      .sort((one, other) => one.since - other.since || (one.id < other.id ? -1 : 1));
    for (const one of ended.slice(0, Math.max(0, ended.length - KEPT_ROLLOUTS))) {
      this.rollouts.delete(one.id);
    }
  }

  /** @param {EventView} event */
  #putEvent(event) {
    const newest = Math.max(0, ...this.events.keys());
    if (event.n + KEPT_EVENTS <= newest) {
      return;
    }
    this.events.set(event.n, event);
    for (const n of this.events.keys()) {
      if (n + KEPT_EVENTS <= Math.max(newest, event.n)) {
        this.events.delete(n);
      }
    }
  }
}
