// Maintenance on the page: windows, holds, the quarantine, what was told to people, and who did what.

import { byId } from "../dom.js";
import { flat } from "../model.js";
import { listOf } from "../page.js";
import { patch } from "../patch.js";
import { audit, notifications, quarantine, selectorHolds, testNotifications, windows } from "./api.js";
import { auditView } from "./audit.js";
import { deliveriesView } from "./deliveries.js";
import { holdsView, openHold, openRelease, openReleaseSelector } from "./holds.js";
import { openLift, quarantineView } from "./quarantine.js";
import { openRemoveWindow, openWindow, windowsView } from "./windows.js";
import { h } from "../model.js";

/** @import { Content } from "../model.js" */
/** @import { Page } from "../page.js" */

export class UpkeepPanel {
  /** What the server said, or why it did not. @type {Record<string, any[] | string>} */
  #known = { windows: "", quarantine: "", notifications: "", holds: "", audit: "" };
  /** From where on older rows of the audit trail are to be had. @type {?string} */
  #older = null;

  /** @param {Page} page */
  constructor(page) {
    this.page = page;
    this.box = byId("view-upkeep", HTMLElement);
    page.onAct(this.box, (data) => this.act(data));
  }

  /** Somebody looks at it: these lists are asked for, not followed. */
  async opened() {
    this.draw();
    await Promise.all([
      this.#load("windows", windows),
      this.#load("quarantine", quarantine),
      this.#load("notifications", notifications),
      this.#load("holds", selectorHolds),
      this.#loadAudit(),
    ]);
  }

  draw() {
    this.#show("windows", (list) => windowsView(list));
    this.#show("quarantine", (list) => quarantineView(list));
    this.#show("notifications", (list) => deliveriesView(list));
    this.#show("audit", (list) => auditView(list, this.#older));
    const { hosts } = this.page.state();
    const selected = this.#known["holds"] ?? "";
    patch(byId("holds", HTMLElement), flat(holdsView(hosts.values(), selected, this.page.nameOf)));
  }

  /**
   * @param {string} name
   * @param {() => Promise<any>} ask
   */
  async #load(name, ask) {
    try {
      this.#known[name] = listOf(await ask(), name);
    } catch (problem) {
      this.#known[name] = problem instanceof Error ? problem.message : String(problem);
    }
    this.draw();
  }

  /** The newest rows of the audit trail, or those before the ones that are here. */
  async #loadAudit(more = false) {
    const known = this.#known["audit"];
    await this.#load("audit", async () => {
      const answer = await audit(more ? (this.#older ?? undefined) : undefined);
      this.#older = answer?.next_before ?? null;
      const rows = listOf(answer, "audit");
      return more && Array.isArray(known) ? [...known, ...rows] : rows;
    });
  }

  /**
   * @param {string} name
   * @param {(list: any[]) => Content[]} view
   */
  #show(name, view) {
    const known = this.#known[name] ?? "";
    const content =
      typeof known === "string"
        ? [h("p", { class: "note", key: "said" }, known || "Asking the server …")]
        : view(known);
    patch(byId(name, HTMLElement), flat(content));
  }

  /** @param {DOMStringMap} data */
  act(data) {
    const { sheet } = this.page;
    const { hosts } = this.page.state();
    const reload = () => void this.opened();
    const list = (/** @type {string} */ name) => {
      const known = this.#known[name];
      return Array.isArray(known) ? known : [];
    };
    const window = list("windows").find((one) => one.id === data["id"]);
    const host = hosts.get(data["host"] ?? "");
    switch (data["act"]) {
      case "add-window":
        openWindow(sheet, {}, reload);
        break;
      case "edit-window":
        if (window) openWindow(sheet, window, reload);
        break;
      case "remove-window":
        if (window) openRemoveWindow(sheet, window, reload);
        break;
      case "hold":
        openHold(sheet, hosts.values(), host ? [host.id] : [], reload);
        break;
      case "release":
        if (host) openRelease(sheet, host);
        break;
      case "release-selector": {
        const one = list("holds").find((hold) => String(hold.id) === data["id"]);
        if (one) openReleaseSelector(sheet, one, this.page.nameOf, reload);
        break;
      }
      case "older-audit":
        void this.#loadAudit(true);
        break;
      case "test-notifications":
        void this.page.attempt("Notifications", async () => {
          await testNotifications();
          reload();
          return "a test is on its way";
        });
        break;
      case "lift": {
        const entry = list("quarantine")[Number(data["index"])];
        if (entry) openLift(sheet, entry, reload);
        break;
      }
    }
  }
}
