// The tooltip of the dots: on hover and on focus, can be hovered itself, closes with Escape.

import { byId, element, setText } from "./dom.js";
import { Lookup } from "./lookup.js";

const OPEN_AFTER = 200;
const CLOSE_AFTER = 150;
const GAP = 6;

export class Tooltip {
  /** @type {?HTMLElement} */
  #anchor = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {HTMLElement} area The element whose `.dot` buttons have tooltips. */
  constructor(area) {
    this.box = byId("tooltip", HTMLElement);
    this.title = byId("tooltip-title", HTMLElement);
    this.lines = byId("tooltip-lines", HTMLUListElement);
    this.lookup = new Lookup(
      (detail) => this.#show(detail.details.length > 0 ? detail.details : [detail.message]),
      (problem) => this.#show([...this.#short(), problem.message]),
    );
    area.addEventListener("pointerover", (event) => {
      const dot = event.pointerType === "touch" ? null : dotOf(event);
      if (dot) this.#later(OPEN_AFTER, () => this.open(dot));
    });
    area.addEventListener("pointerout", () => this.#later(CLOSE_AFTER, () => this.close()));
    this.box.addEventListener("pointerenter", () => clearTimeout(this.#timer));
    this.box.addEventListener("pointerleave", () => this.#later(CLOSE_AFTER, () => this.close()));
    area.addEventListener("focusin", (event) => {
      const dot = dotOf(event);
      if (dot?.matches(":focus-visible")) this.open(dot);
    });
    area.addEventListener("focusout", () => this.close());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.close();
    });
    window.addEventListener("scroll", () => this.close(), { passive: true, capture: true });
  }

  /** @param {HTMLElement} dot */
  open(dot) {
    clearTimeout(this.#timer);
    if (this.#anchor === dot) {
      return;
    }
    this.close();
    this.#anchor = dot;
    dot.setAttribute("aria-describedby", this.box.id);
    this.box.showPopover();
    this.#show(this.#short());
    const host = dot.closest("tr")?.dataset["host"];
    const compartment = dot.dataset["compartment"];
    if (host && compartment) {
      this.lookup.follow(host, compartment);
    }
  }

  close() {
    clearTimeout(this.#timer);
    if (this.#anchor) {
      this.#anchor.removeAttribute("aria-describedby");
      this.#anchor = null;
      this.lookup.stop();
      this.box.hidePopover();
    }
  }

  /**
   * These hosts changed.
   * @param {Set<string>} hosts
   * @param {boolean} all
   */
  changed(hosts, all) {
    if (this.#anchor && !this.#anchor.isConnected) {
      this.close();
    } else if (this.#anchor && this.title.textContent !== this.#anchor.dataset["title"]) {
      this.#show(this.#short());
    }
    this.lookup.changed(hosts, all);
  }

  /** What is known without asking. */
  #short() {
    return (this.#anchor?.dataset["short"] ?? "").split("\n");
  }

  /** @param {string[]} lines */
  #show(lines) {
    const anchor = this.#anchor;
    if (!anchor) {
      return;
    }
    setText(this.title, anchor.dataset["title"] ?? "");
    this.lines.replaceChildren(...lines.map((line) => element("li", {}, line)));
    this.#place(anchor.getBoundingClientRect());
  }

  /** Below the dot; above it where there is no room. @param {DOMRect} dot */
  #place(dot) {
    const { width, height } = this.box.getBoundingClientRect();
    const centred = dot.left + dot.width / 2 - width / 2;
    const left = Math.max(GAP, Math.min(centred, document.documentElement.clientWidth - width - GAP));
    const below = dot.bottom + GAP;
    const fits = below + height + GAP <= window.innerHeight;
    const top = fits ? below : Math.max(GAP, dot.top - height - GAP);
    this.box.style.left = `${Math.round(left)}px`;
    this.box.style.top = `${Math.round(top)}px`;
  }

  /** @param {number} pause @param {() => void} action */
  #later(pause, action) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(action, pause);
  }
}

/** @param {Event} event @returns {?HTMLElement} */
function dotOf(event) {
  return event.target instanceof Element ? event.target.closest(".dot") : null;
}
