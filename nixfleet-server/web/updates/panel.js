// The update panel on the page: draws what is known, and does what its buttons ask for.

import { byId } from "../dom.js";
import { flat } from "../model.js";
import { patch } from "../patch.js";
import { checkNow, updates } from "./api.js";
import { openMerge, openMergeAndDeploy, openRevert, openUpdateInputs } from "./dialogs.js";
import { updatesView } from "./view.js";

/** @import { Page } from "../page.js" */

export class UpdatePanel {
  #problem = "";

  /** @param {Page} page */
  constructor(page) {
    this.page = page;
    this.box = byId("updates", HTMLElement);
    page.onAct(this.box, (data) => this.act(data));
  }

  /** Somebody looks at it: where the feed says nothing, the server says why. */
  async opened() {
    if (this.page.state().updates) {
      return;
    }
    try {
      const known = await updates();
      this.page.state().updates ??= known;
      this.#problem = "";
    } catch (problem) {
      this.#problem = problem instanceof Error ? problem.message : String(problem);
    }
    this.draw();
  }

  draw() {
    const { rollouts, updates: known, desired } = this.page.state();
    const about = {
      now: Date.now(),
      problem: this.#problem,
      rollouts,
      nameOf: this.page.nameOf,
      hostDriven: desired?.host_driven ?? false,
    };
    patch(this.box, flat(updatesView(known, about)));
  }

  /**
   * The pull request with this number; the current one if none is named.
   * @param {string | undefined} [number]
   */
  pr(number) {
    const prs = this.page.state().updates?.prs ?? [];
    return prs.find((one) => String(one.number) === number) ?? (number ? undefined : prs[0]);
  }

  /** Asks whether to merge the current update. @returns {boolean} Whether there is one. */
  merge() {
    const pr = this.pr();
    if (pr) openMerge(this.page.sheet, pr);
    return pr !== undefined;
  }

  /** @param {DOMStringMap} data */
  act(data) {
    const { sheet, nameOf } = this.page;
    const known = this.page.state().updates;
    const pr = this.pr(data["number"]);
    switch (data["act"]) {
      case "check":
        this.page.attempt("Updates", async () => {
          await checkNow();
          return "asked the forge";
        });
        break;
      case "merge":
        if (pr) openMerge(sheet, pr);
        break;
      case "merge-and-deploy":
        if (pr) openMergeAndDeploy(sheet, pr, nameOf);
        break;
      case "what-if":
        if (pr) this.page.whatIf({ pr: pr.number });
        break;
      case "revert": {
        const number = Number(data["number"]);
        const merged = known?.merged.find((one) => one.number === number);
        openRevert(sheet, number, merged?.title ?? `#${number}`, data["direct"] === "yes");
        break;
      }
      case "update-inputs":
        openUpdateInputs(sheet, [...this.page.state().hosts.keys()].sort(), nameOf);
        break;
      case "verb":
        this.page.verb(data["rollout"] ?? "", data["verb"] ?? "", data["host"]);
        break;
    }
  }
}
