// The client's half of the sync protocol: apply what fits, ask once for everything else. The
// counterpart of `Replica` in the core, rule by rule; loss, duplication and reordering of messages
// never corrupt it.

import { filled, oneByOne } from "./compact.js";
import { State } from "./state.js";

/** @import { Change, FullState, Letters, ServerMessage, Version } from "./types.js" */

/**
 * What a message led to; `ask` means: send `get_state` to the server.
 * @typedef {"changed" | "unchanged" | "ask"} Step
 *
 * What has to be drawn again: everything, or the rows of some hosts and, always, the header.
 * @typedef {{ all: boolean, hosts: Set<string> }} Touched
 */

export class Replica {
  /** The state as far as it is known. */
  state = new State();
  /** Its version; none before the first full state. @type {?Version} */
  version = null;
  /** @type {?{ version: Version, next: number, state: State }} */
  #staging = null;
  #asked = false;
  /** @type {?Letters} */
  #letters = null;
  /** @type {Touched} */
  #touched = { all: false, hosts: new Set() };

  /**
   * What the letters of compact statuses mean; until this is known, they cannot be read.
   * @param {Letters} letters
   */
  useLetters(letters) {
    this.#letters = letters;
  }

  /**
   * Takes in a message.
   * @param {ServerMessage} message
   * @returns {Step}
   */
  apply(message) {
    switch (message.type) {
      case "init":
      case "full_state":
        return this.#part(message.payload);
      case "delta":
        return this.#deltas(message.payload.first, message.payload.changes);
      case "sync":
        return this.#beacon(message.payload.version);
      default:
        return "unchanged";
    }
  }

  /** What changed since the last call. @returns {Touched} */
  takeTouched() {
    const touched = this.#touched;
    this.#touched = { all: false, hosts: new Set() };
    return touched;
  }

  /**
   * @param {FullState} part
   * @returns {Step}
   */
  #part(part) {
    if (part.part === 0) {
      this.#staging = { version: part.version, next: 0, state: new State() };
    }
    const staging = this.#staging;
    this.#staging = null;
    if (!staging || !same(staging.version, part.version) || staging.next !== part.part) {
      return this.#ask();
    }
    staging.state.merge(part.state);
    staging.next += 1;
    if (staging.next < part.parts) {
      this.#staging = staging;
      return "unchanged";
    }
    this.#asked = false;
    const own = this.version;
    if (own && own.epoch === staging.version.epoch && own.number > staging.version.number) {
      return "unchanged";
    }
    this.version = staging.version;
    this.state = staging.state;
    this.#touched.all = true;
    return "changed";
  }

  /**
   * @param {Version} first
   * @param {Change[]} changes
   * @returns {Step}
   */
  #deltas(first, changes) {
    /** @type {Step} */
    let step = "unchanged";
    let number = first.number;
    for (const change of oneByOne(changes)) {
      const own = this.version;
      if (!own || own.epoch !== first.epoch || number > own.number + 1) {
        return this.#ask();
      }
      if (number === own.number + 1) {
        const whole = filled(change, this.state, this.#letters);
        if (!whole) {
          return this.#ask();
        }
        const host = this.state.apply(whole);
        if (host !== null) {
          this.#touched.hosts.add(host);
        }
        if ("update_pr_changed" in whole) {
          // Every row that has the update pending says what it changes.
          this.#touched.all = true;
        }
        this.version = { epoch: first.epoch, number };
        step = "changed";
      }
      number += 1;
    }
    return step;
  }

  /**
   * @param {Version} version
   * @returns {Step}
   */
  #beacon(version) {
    if (this.version && same(this.version, version)) {
      return "unchanged";
    }
    // An earlier question may have been lost: a beacon is the moment to ask again.
    this.#asked = false;
    return this.#ask();
  }

  /** @returns {Step} */
  #ask() {
    if (this.#asked) {
      return "unchanged";
    }
    this.#asked = true;
    return "ask";
  }
}

/**
 * @param {Version} one
 * @param {Version} other
 */
function same(one, other) {
  return one.epoch === other.epoch && one.number === other.number;
}
