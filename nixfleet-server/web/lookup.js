// What the server says in full about a host: fetched when somebody looks, again when it changed.

import { hostDetails } from "./api.js";

/** @import { Detail } from "./types.js" */

/** Changes of one moment lead to one request. */
const PAUSE = 150;

/** Follows one host and compartment, and tells what the server says about it. */
export class Lookup {
  /** @type {?{ host: string, compartment: string }} */
  #subject = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #generation = 0;

  /**
   * @param {(detail: Detail) => void} onDetail
   * @param {(problem: Error) => void} onProblem
   */
  constructor(onDetail, onProblem) {
    this.onDetail = onDetail;
    this.onProblem = onProblem;
  }

  /**
   * Follows this compartment from now on.
   * @param {string} host
   * @param {string} compartment
   */
  follow(host, compartment) {
    this.#subject = { host, compartment };
    this.#fetchSoon(0);
  }

  /** Follows nothing any more; an answer that is still on its way is dropped. */
  stop() {
    this.#subject = null;
    this.#generation += 1;
    clearTimeout(this.#timer);
  }

  /**
   * These hosts changed.
   * @param {Set<string>} hosts
   * @param {boolean} all
   */
  changed(hosts, all) {
    if (this.#subject && (all || hosts.has(this.#subject.host))) {
      this.#fetchSoon(PAUSE);
    }
  }

  /** @param {number} pause */
  #fetchSoon(pause) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#fetch(), pause);
  }

  async #fetch() {
    const subject = this.#subject;
    if (!subject) {
      return;
    }
    this.#generation += 1;
    const generation = this.#generation;
    try {
      const { compartments } = await hostDetails(subject.host);
      const detail = compartments[subject.compartment];
      if (generation === this.#generation && detail) {
        this.onDetail(detail);
      }
    } catch (problem) {
      if (generation === this.#generation && problem instanceof Error) {
        this.onProblem(problem);
      }
    }
  }
}
