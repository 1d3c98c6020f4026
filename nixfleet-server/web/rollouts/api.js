// Requests about rollouts.

import { request } from "../api.js";

/** @import { Ask, Plan, RolloutView, Simulated, Target } from "./types.js" */

const PATH = "/api/v1/rollouts";

/**
 * What a rollout would do. Nothing is started.
 * @param {Ask & { target?: Target }} ask
 * @returns {Promise<Plan>}
 */
export const plan = (ask) => request("POST", `${PATH}/plan`, ask);

/**
 * @param {Ask & { target?: Target }} ask
 * @param {string} confirm The id of the plan that the person saw.
 * @returns {Promise<RolloutView>}
 */
export const start = (ask, confirm) => request("POST", PATH, { ...ask, confirm });

/** @returns {Promise<RolloutView[] | { rollouts: RolloutView[] }>} */
export const rollouts = () => request("GET", PATH);

/** @param {string} id @returns {Promise<RolloutView>} */
export const rollout = (id) => request("GET", `${PATH}/${encodeURIComponent(id)}`);

/**
 * @param {string} id
 * @param {string} verb
 * @param {string} [host] The host that is left out, for `skip-host`.
 */
export const act = (id, verb, host) => {
  const path = `${PATH}/${encodeURIComponent(id)}`;
  return verb === "skip-host"
    ? request("POST", `${path}/skip`, { host })
    : request("POST", `${path}/${encodeURIComponent(verb)}`, {});
};

/** @param {string} pipeline @param {string[]} hosts */
export const pipeline = (pipeline, hosts) =>
  request("POST", "/api/v1/pipelines", { pipeline, hosts });

/**
 * What would happen. Nothing is started.
 * @param {Ask & { pr?: number, target?: Target, outcomes?: Record<string, string> }} ask
 * @returns {Promise<Simulated>}
 */
export const simulate = (ask) => request("POST", "/api/v1/simulate", ask);
