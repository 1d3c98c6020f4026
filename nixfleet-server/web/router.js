// Which view is shown: what stands behind `#` in the address. Without anything, the fleet.

import { byId, setAttribute } from "./dom.js";

/** The views, with the names that stand in the title. @type {Record<string, string>} */
const VIEWS = {
  fleet: "",
  updates: "Updates",
  rollouts: "Rollouts",
  upkeep: "Maintenance",
  history: "History",
  host: "Host",
};

/** @typedef {{ view: string, subject: ?string }} Place */

/**
 * @param {string} hash
 * @returns {Place}
 */
export function placeOf(hash) {
  const [view = "", ...rest] = hash.replace(/^#\/?/, "").split("/");
  if (!Object.hasOwn(VIEWS, view)) {
    return { view: "fleet", subject: null };
  }
  const subject = rest.join("/");
  try {
    return { view, subject: subject === "" ? null : decodeURIComponent(subject) };
  } catch {
    return { view, subject: null };
  }
}

/** The address of a host's own page. @param {string} host */
export const hostPlace = (host) => `#host/${encodeURIComponent(host)}`;

/** The address of a rollout. @param {string} id */
export const rolloutPlace = (id) => `#rollouts/${encodeURIComponent(id)}`;

export class Router {
  /** @param {(place: Place) => void} onPlace */
  constructor(onPlace) {
    this.onPlace = onPlace;
    this.place = placeOf(location.hash);
    window.addEventListener("hashchange", () => this.#go(true));
  }

  start() {
    this.#go(false);
  }

  /** @param {boolean} moved Whether somebody went there, and the focus goes along. */
  #go(moved) {
    this.place = placeOf(location.hash);
    const { view } = this.place;
    for (const name of Object.keys(VIEWS)) {
      const section = byId(`view-${name}`, HTMLElement);
      section.hidden = name !== view;
    }
    for (const link of document.querySelectorAll("nav.places a")) {
      const own = placeOf(link.getAttribute("href") ?? "").view === view;
      if (own) setAttribute(link, "aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    const name = VIEWS[view] ?? "";
    document.title = name === "" ? "NixFleet" : `${name} · NixFleet`;
    this.onPlace(this.place);
    if (moved) {
      const heading = byId(`view-${view}`, HTMLElement).querySelector("h2");
      heading?.setAttribute("tabindex", "-1");
      heading?.focus({ preventScroll: true });
      window.scrollTo(0, 0);
    }
  }
}
