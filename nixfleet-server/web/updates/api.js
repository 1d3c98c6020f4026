// Requests about updates.

import { request } from "../api.js";

/** @import { UpdatesView } from "./types.js" */
/** @import { Ask, Plan } from "../rollouts/types.js" */

const PATH = "/api/v1/updates";

/** @returns {Promise<UpdatesView>} */
export const updates = () => request("GET", PATH);

export const checkNow = () => request("POST", `${PATH}/check`, {});

/** @returns {Promise<any>} */
export const updateHistory = () => request("GET", `${PATH}/history`);

/** @param {number} number @param {string} [reason] */
export const merge = (number, reason) => request("POST", `${PATH}/${number}/merge`, because(reason));

/**
 * What merge and deploy would do.
 * @param {number} number
 * @param {Ask} ask
 * @returns {Promise<Plan>}
 */
export const deployPlan = (number, ask) => request("POST", `${PATH}/${number}/plan`, ask);

/**
 * @param {number} number
 * @param {Ask} ask
 * @param {string} confirm The id of the plan that the person saw.
 * @param {string} [reason]
 */
export const mergeAndDeploy = (number, ask, confirm, reason) =>
  request("POST", `${PATH}/${number}/merge-and-deploy`, { ...ask, confirm, ...because(reason) });

/** @param {number} number @param {string} [kind] */
export const revert = (number, kind) =>
  request("POST", `${PATH}/${number}/revert`, kind ? { kind } : {});

/** @param {string} [reason] */
function because(reason) {
  return reason ? { override_reason: reason } : {};
}
