// Going back on one host: which generation, of which commit, from when, before it is confirmed.

import { dispatch } from "../api.js";
import { field, h, select } from "../model.js";
import { listOf } from "../page.js";
import { one, valuesOf } from "../rollouts/ask.js";
import { generations } from "../upkeep/api.js";
import { generationText, newest, proposed } from "./past.js";

/** @import { Content } from "../model.js" */
/** @import { Sheet } from "../sheet.js" */
/** @import { Generation } from "./past.js" */

/**
 * @param {Generation[]} list
 * @param {number | undefined} chosen
 * @param {string} name
 * @returns {Content[]}
 */
export function rollbackView(list, chosen, name) {
  const others = newest(list).filter((one) => !one.current);
  const current = list.find((one) => one.current);
  const target = others.find((one) => one.number === chosen);
  return [
    current ? h("p", {}, `${name} runs ${generationText(current)}.`) : null,
    others.length > 0
      ? field(
          "Go back to",
          select("generation", others.map((one) => [String(one.number), generationText(one)]), chosen === undefined ? undefined : String(chosen)),
        )
      : h("p", { class: "alert" }, "No other generation of this host is known."),
    target
      ? h("p", { class: "target", key: "target" }, h("b", {}, `${name} goes back to `), `${generationText(target)}.`)
      : null,
    h("p", { class: "note" }, "The host is then held, and no automation deploys what it has now until that is lifted."),
  ];
}

/**
 * @param {Sheet} sheet
 * @param {string} host
 * @param {string} name
 * @param {number} [asked] The generation that somebody chose.
 */
export async function openRollback(sheet, host, name, asked) {
  /** @type {Generation[]} */
  let list = [];
  let problem = "";
  try {
    list = listOf(await generations(host), "generations");
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error);
  }
  let chosen = asked ?? proposed(list)?.number;
  const go = () => (chosen === undefined ? [] : [{ act: "go", text: `Roll back to generation ${chosen}`, kind: "danger" }]);
  sheet.open({
    title: `Roll back ${name}`,
    body: () => (problem === "" ? rollbackView(list, chosen, name) : [h("p", { class: "alert" }, problem)]),
    actions: go,
    onInput: (form) => {
      chosen = Number(one(valuesOf(form), "generation"));
      sheet.draw();
    },
    onAct: async () => {
      if (chosen !== undefined) await dispatch("rollback", host, true, { generation: chosen });
      sheet.close();
    },
  });
}
