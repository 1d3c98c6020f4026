// The page of one host: its settings, its hold, what it ran and what was deployed on it.

import { byId, setText } from "../dom.js";
import { flat, h } from "../model.js";
import { listOf } from "../page.js";
import { patch } from "../patch.js";
import { hostHoldView, openHold, openRelease } from "../upkeep/holds.js";
import { deploys, generations, host as hostReport } from "../upkeep/api.js";
import { deploysView, generationsView } from "./past.js";
import { openRollback } from "./rollback.js";
import { openSettings, settingsView } from "./settings.js";

/** @import { Content } from "../model.js" */
/** @import { Page } from "../page.js" */
/** @import { HostView } from "../types.js" */

/** Changes of one moment lead to one round of requests. */
const PAUSE = 1000;

export class HostPanel {
  /** @type {?string} */
  #host = null;
  /** @type {{ report: any, generations: any, deploys: any }} */
  #known = { report: null, generations: null, deploys: null };
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {Page} page */
  constructor(page) {
    this.page = page;
    this.box = byId("host-parts", HTMLElement);
    page.onAct(this.box, (data) => this.act(data));
  }

  /** @param {?string} host */
  async opened(host) {
    if (this.#host !== host) {
      this.#known = { report: null, generations: null, deploys: null };
    }
    this.#host = host;
    this.draw();
    if (host === null) return;
    await Promise.all([
      this.#load("report", host, hostReport),
      this.#load("generations", host, generations),
      this.#load("deploys", host, deploys),
    ]);
  }

  /** This host changed: what was asked for may be another now. @param {Set<string>} hosts */
  changed(hosts) {
    this.draw();
    if (this.#host !== null && hosts.has(this.#host)) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.opened(this.#host), PAUSE);
    }
  }

  draw() {
    const host = this.#host ?? "";
    const known = this.page.state().hosts.get(host);
    setText(byId("host-title", HTMLElement), known?.hostname ?? `Host ${host}`);
    patch(this.box, flat(this.#parts(host, known)));
  }

  /**
   * @param {string} host
   * @param {HostView | undefined} known
   * @returns {Content[]}
   */
  #parts(host, known) {
    if (!known) {
      return [h("p", { class: "note", key: "unknown" }, "No host of this name is known.")];
    }
    const settings = this.#known.report?.settings ?? this.#known.report?.facts?.settings ?? {};
    return [
      h("p", { class: "note", key: "about" }, [known.online ? "online" : "offline", known.location, known.device_type, known.os_version].filter(Boolean).join(", ")),
      part("Hold", hostHoldView(known)),
      part("Automation", this.#said("report", () => settingsView(settings, host))),
      part("Generations", this.#said("generations", (answer) => generationsView(listOf(answer, "generations"), host))),
      part("What was deployed", this.#said("deploys", (answer) => deploysView(listOf(answer, "deploys")))),
    ];
  }

  /**
   * @param {"report" | "generations" | "deploys"} name
   * @param {(answer: any) => Content[]} view
   */
  #said(name, view) {
    const known = this.#known[name];
    if (known === null) return [h("p", { class: "note", key: "asking" }, "Asking the server …")];
    if (known instanceof Error) return [h("p", { class: "note", key: "problem" }, known.message)];
    return view(known);
  }

  /**
   * @param {"report" | "generations" | "deploys"} name
   * @param {string} host
   * @param {(host: string) => Promise<any>} ask
   */
  async #load(name, host, ask) {
    const answer = await ask(host).catch((problem) =>
      problem instanceof Error ? problem : new Error(String(problem)),
    );
    if (this.#host === host) {
      this.#known[name] = answer;
      this.draw();
    }
  }

  /** @param {DOMStringMap} data */
  act(data) {
    const { sheet, nameOf } = this.page;
    const { hosts } = this.page.state();
    const host = data["host"] ?? this.#host ?? "";
    const known = hosts.get(host);
    switch (data["act"]) {
      case "settings":
        openSettings(sheet, host, nameOf(host), this.#known.report?.settings ?? {}, () => void this.opened(host));
        break;
      case "rollback":
        void openRollback(sheet, host, nameOf(host), Number(data["generation"]));
        break;
      case "hold":
        openHold(sheet, hosts.values(), [host]);
        break;
      case "release":
        if (known) openRelease(sheet, known);
        break;
    }
  }
}

/**
 * @param {string} title
 * @param {Content[]} content
 */
function part(title, content) {
  return h("section", { class: "panel", key: title }, h("h3", {}, title), ...content);
}
