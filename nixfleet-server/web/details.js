// The dialog behind a dot: everything the server says about one compartment, and what it offers.

import { byId, element, setAttribute, setText, shape } from "./dom.js";
import { Log } from "./log.js";
import { Lookup } from "./lookup.js";
import { FINAL_PHASES } from "./state.js";
import { COMPARTMENT_NAMES, commandText, opName } from "./words.js";

/** @import { Click, CommandView, Detail } from "./types.js" */
/** @import { State } from "./state.js" */

export class Details {
  /** @type {?{ host: string, compartment: string }} */
  #subject = null;

  /**
   * @param {() => State} state
   * @param {(op: string, host: string, confirm: boolean) => Promise<?string>} onOffer Gives the
   *   code of the refusal, if it was refused.
   * @param {(command: CommandView) => void} onStop
   */
  constructor(state, onOffer, onStop) {
    this.state = state;
    this.onOffer = onOffer;
    this.onStop = onStop;
    this.dialog = byId("details", HTMLDialogElement);
    this.status = byId("details-status", HTMLElement);
    this.lines = byId("details-lines", HTMLUListElement);
    this.command = byId("details-command", HTMLElement);
    this.actions = byId("details-actions", HTMLElement);
    this.said = byId("details-said", HTMLElement);
    this.log = new Log(byId("details-log", HTMLPreElement));
    this.lookup = new Lookup(
      (detail) => this.#show(detail),
      (problem) => setText(this.said, problem.message),
    );
    byId("details-close", HTMLButtonElement).addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", () => {
      this.#subject = null;
      this.lookup.stop();
      this.log.stop();
    });
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close();
    });
  }

  get isOpen() {
    return this.dialog.open;
  }

  close() {
    this.dialog.close();
  }

  /**
   * @param {string} host
   * @param {string} compartment
   */
  open(host, compartment) {
    this.#subject = { host, compartment };
    const name = this.state().hosts.get(host)?.hostname ?? host;
    setText(byId("details-title", HTMLElement), `${COMPARTMENT_NAMES[compartment]} of ${name}`);
    setText(this.said, "");
    this.status.replaceChildren("Asking the server …");
    this.lines.replaceChildren();
    this.actions.replaceChildren();
    delete this.actions.dataset["key"];
    this.#showCommand();
    this.dialog.showModal();
    this.lookup.follow(host, compartment);
  }

  /**
   * Something to be said about what was asked for.
   * @param {string} text
   */
  say(text) {
    setText(this.said, text);
  }

  /**
   * These hosts changed.
   * @param {Set<string>} hosts
   * @param {boolean} all
   */
  changed(hosts, all) {
    if (this.#subject && !this.state().hosts.has(this.#subject.host)) {
      this.dialog.close();
      return;
    }
    this.lookup.changed(hosts, all);
    this.#showCommand();
  }

  /** @param {Detail} detail */
  #show(detail) {
    const subject = this.#subject;
    if (!subject) {
      return;
    }
    const pending = subject.compartment === "lock" && this.#isPending(subject.host);
    const name = pending && detail.status === "ok" ? "pending" : detail.status;
    const mark = shape(name);
    mark.setAttribute("data-status", name);
    setAttribute(this.status, "data-pending", pending ? "yes" : "no");
    const word = pending ? `${detail.status}, update pending` : detail.status;
    this.status.replaceChildren(mark, element("strong", {}, word), ` ${detail.message}`);
    const lines = detail.details.filter((line) => line !== detail.message);
    this.lines.replaceChildren(...lines.map((line) => element("li", {}, line)));
    this.#showActions(subject.host, detail.click ?? { offers: [], stop: false, log: false });
  }

  /**
   * The buttons, made again only if others are offered: the focus stays where it is.
   * @param {string} host
   * @param {Click} click
   */
  #showActions(host, click) {
    const key = JSON.stringify(click);
    if (this.actions.dataset["key"] === key) {
      return;
    }
    this.actions.dataset["key"] = key;
    const buttons = click.offers.map((op) => this.#offer(op, host));
    if (click.stop) {
      buttons.push(
        this.#button("Stop", "stop", () => {
          const active = this.#open(host)[0];
          if (active) this.onStop(active);
        }),
      );
    }
    if (click.stop || click.log) {
      buttons.push(this.#button("Show log", "quiet", () => this.#showLog(host)));
    }
    const note = element("p", { class: "note" }, "Nothing to start here: information only.");
    this.actions.replaceChildren(...(buttons.length > 0 ? buttons : [note]));
  }

  /**
   * A button for an operation. One that needs a confirmation becomes the confirmation.
   * @param {string} op
   * @param {string} host
   */
  #offer(op, host) {
    let confirm = false;
    const button = this.#button(opName(op), "op", async () => {
      const refusal = await this.onOffer(op, host, confirm);
      confirm = refusal === "not-confirmed";
      setText(button, confirm ? `Confirm: ${opName(op)}` : opName(op));
    });
    button.dataset["op"] = op;
    return button;
  }

  /**
   * @param {string} text
   * @param {string} kind
   * @param {() => void} action
   */
  #button(text, kind, action) {
    const button = element("button", { type: "button", class: kind }, text);
    button.addEventListener("click", action);
    return button;
  }

  /** @param {string} host */
  #showLog(host) {
    const commands = this.state().commandsOf(host);
    const command = this.#open(host)[0] ?? commands[0];
    if (!command) {
      this.say("No command is known whose log could be shown.");
      return;
    }
    this.log.follow(command, () => {
      const now = this.state().commandsOf(host).find((one) => one.id === command.id);
      return !now || FINAL_PHASES.has(now.phase);
    });
  }

  /** Whether an update waits for this host. @param {string} host */
  #isPending(host) {
    const beside = this.state().statuses.get(host)?.a ?? [];
    return beside.some((one) => one.code === "update-pending");
  }

  #showCommand() {
    const host = this.#subject?.host;
    if (!host) {
      return;
    }
    const commands = this.state().commandsOf(host);
    const texts = commands.map((one) => commandText(one, FINAL_PHASES.has(one.phase)));
    setText(this.command, texts.join("; "));
    setAttribute(this.command, "data-busy", this.#open(host).length > 0 ? "yes" : "no");
  }

  /** @param {string} host */
  #open(host) {
    return this.state()
      .commandsOf(host)
      .filter((command) => !FINAL_PHASES.has(command.phase));
  }
}
