// The output of one command, followed while it runs.

import { output } from "./api.js";

/** @import { CommandView } from "./types.js" */

const MOST_LINES = 500;
const PAUSE = 1000;

export class Log {
  /** @type {?AbortController} */
  #reading = null;

  /** @param {HTMLPreElement} box */
  constructor(box) {
    this.box = box;
  }

  /**
   * Shows what this command printed, and goes on until it ended.
   * @param {CommandView} command
   * @param {() => boolean} hasEnded
   */
  async follow(command, hasEnded) {
    this.stop();
    const reading = new AbortController();
    this.#reading = reading;
    this.box.hidden = false;
    this.box.textContent = "";
    /** @type {string[]} */
    let shown = [];
    let from = 1;
    while (!reading.signal.aborted) {
      const ended = hasEnded();
      try {
        const page = await output(command, from, reading.signal);
        shown = [...shown, ...page.lines.map((line) => line.text)].slice(-MOST_LINES);
        from = page.next;
        if (ended && !page.more) {
          this.#show(shown.length > 0 ? shown : [`${command.op} printed nothing.`]);
          return;
        }
        this.#show(shown);
      } catch (problem) {
        if (reading.signal.aborted) return;
        this.#show([...shown, problem instanceof Error ? problem.message : String(problem)]);
        await new Promise((done) => setTimeout(done, PAUSE));
        if (ended) return;
      }
    }
  }

  /** Shows nothing any more. */
  stop() {
    this.#reading?.abort();
    this.#reading = null;
    this.box.hidden = true;
  }

  /** @param {string[]} lines */
  #show(lines) {
    const { scrollTop, scrollHeight, clientHeight } = this.box;
    const atEnd = scrollTop + clientHeight >= scrollHeight - 4;
    this.box.textContent = lines.join("\n");
    if (atEnd) this.box.scrollTop = this.box.scrollHeight;
  }
}
