// The dialog for everything that is confirmed or filled in: what it shows is a model, what its
// buttons do is a function. The focus goes back to where it came from.

import { byId, setText } from "./dom.js";
import { button, flat } from "./model.js";
import { patch } from "./patch.js";

/** @import { Content } from "./model.js" */

/**
 * @typedef {object} Shown
 * @property {string} title
 * @property {() => Content[]} body Called again whenever something changed.
 * @property {() => { act: string, text: string, kind?: string }[]} [actions] The buttons below,
 *   without the one that closes.
 * @property {(act: string, form: HTMLFormElement, data: DOMStringMap) => Promise<void | string> | void | string} [onAct]
 *   What a button does; a text is said, and the dialog stays.
 * @property {(form: HTMLFormElement) => void} [onInput]
 * @property {string} [close] The name of the button that closes.
 */

export class Sheet {
  /** @type {?Shown} */
  #shown = null;
  /** @type {?HTMLElement} */
  #opener = null;
  #busy = false;

  constructor() {
    this.dialog = byId("sheet", HTMLDialogElement);
    this.form = byId("sheet-form", HTMLFormElement);
    this.body = byId("sheet-body", HTMLElement);
    this.actions = byId("sheet-actions", HTMLElement);
    this.said = byId("sheet-said", HTMLElement);
    this.title = byId("sheet-title", HTMLElement);
    this.dialog.addEventListener("close", () => this.#closed());
    this.dialog.addEventListener("click", (event) => this.#clicked(event));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      const main = this.actions.querySelector("button.primary, button.danger");
      if (main instanceof HTMLButtonElement) this.#act(main.dataset);
    });
    this.form.addEventListener("input", () => this.#shown?.onInput?.(this.form));
  }

  get isOpen() {
    return this.dialog.open;
  }

  /** @param {Shown} shown */
  open(shown) {
    const active = document.activeElement;
    this.#opener ??= active instanceof HTMLElement ? active : null;
    this.#shown = shown;
    this.#busy = false;
    this.body.replaceChildren();
    this.actions.replaceChildren();
    this.form.reset();
    setText(this.title, shown.title);
    this.say("");
    this.draw();
    if (!this.dialog.open) this.dialog.showModal();
    const first = this.body.querySelector("input:not([readonly]), select, textarea");
    (first instanceof HTMLElement ? first : this.title).focus();
  }

  /** Draws again what is open. */
  draw() {
    const shown = this.#shown;
    if (!shown) return;
    patch(this.body, flat(shown.body()));
    const actions = shown.actions?.() ?? [];
    patch(this.actions, [
      ...actions.map(({ act, text, kind }) => button(act, text, {}, { key: act, class: kind })),
      button("close", shown.close ?? "Cancel", {}, { key: "close", class: "quiet" }),
    ]);
  }

  /** @param {string} text */
  say(text) {
    setText(this.said, text);
  }

  close() {
    this.dialog.close();
  }

  #closed() {
    this.#shown = null;
    const opener = this.#opener;
    this.#opener = null;
    if (opener?.isConnected) {
      opener.focus();
    } else {
      document.querySelector("main")?.focus();
    }
  }

  /** @param {Event} event */
  #clicked(event) {
    if (event.target === this.dialog) {
      this.close();
      return;
    }
    const pressed = event.target instanceof Element ? event.target.closest("[data-act]") : null;
    if (pressed instanceof HTMLElement) this.#act(pressed.dataset);
  }

  /** @param {DOMStringMap} data */
  async #act(data) {
    const shown = this.#shown;
    const act = data["act"] ?? "";
    if (act === "close") {
      this.close();
      return;
    }
    if (this.#busy || !shown) return;
    if (!this.form.reportValidity()) return;
    this.#busy = true;
    this.say("Asking the server …");
    try {
      const said = await shown.onAct?.(act, this.form, data);
      if (this.#shown === shown) this.say(said ?? "");
    } catch (problem) {
      if (this.#shown === shown) this.say(problem instanceof Error ? problem.message : String(problem));
    } finally {
      // Another dialog may have been opened by it.
      if (this.#shown === shown) this.draw();
      this.#busy = false;
    }
  }
}
