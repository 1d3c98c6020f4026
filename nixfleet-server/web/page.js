// What every part of the page shares: the state, names of hosts, the dialog, and saying what came
// of something.

/** @import { Sheet } from "./sheet.js" */
/** @import { State } from "./state.js" */

/**
 * @typedef {object} Page
 * @property {() => State} state
 * @property {(host: string) => string} nameOf
 * @property {Sheet} sheet
 * @property {(subject: string, action: () => Promise<string>) => Promise<?string>} attempt Does
 *   something and says what came of it; gives the code of the refusal, if it was refused.
 * @property {(id: string, verb: string, host?: string) => void} verb Asks whether to do it.
 * @property {(given: { pr?: number, hosts?: string }) => void} whatIf
 * @property {(box: HTMLElement, act: (data: DOMStringMap) => void) => void} onAct
 */

/**
 * Hears the buttons of a view; what they ask for stands in their data. A menu closes behind them.
 * @param {HTMLElement} box
 * @param {(data: DOMStringMap) => void} act
 */
export function onAct(box, act) {
  box.addEventListener("click", (event) => {
    const pressed = event.target instanceof Element ? event.target.closest("[data-act]") : null;
    if (!(pressed instanceof HTMLElement)) {
      return;
    }
    const menu = pressed.closest("details.menu");
    if (menu instanceof HTMLDetailsElement) {
      menu.open = false;
      menu.querySelector("summary")?.focus();
    }
    act(pressed.dataset);
  });
  box.addEventListener("keydown", (event) => {
    const menu = event.target instanceof Element ? event.target.closest("details.menu[open]") : null;
    if (event.key === "Escape" && menu instanceof HTMLDetailsElement) {
      menu.open = false;
      menu.querySelector("summary")?.focus();
    }
  });
}

/**
 * A list that stands in an answer, under one of these names or as the answer itself.
 * @param {any} answer
 * @param {string} name
 * @returns {any[]}
 */
export function listOf(answer, name) {
  if (Array.isArray(answer)) return answer;
  const named = answer?.[name];
  return Array.isArray(named) ? named : [];
}
