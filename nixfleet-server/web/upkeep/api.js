// Requests about windows, the quarantine, holds, and the settings and the past of a host.

import { request } from "../api.js";

/**
 * @typedef {object} Window
 * @property {string} id
 * @property {string} selector
 * @property {string} zone
 * @property {string[]} classes
 * @property {"allow" | "deny"} effect
 * @property {string[]} days
 * @property {string} from
 * @property {string} to
 *
 * @typedef {object} Settings
 * @property {?boolean} [auto_update]
 * @property {?number} [priority]
 * @property {?boolean} [canary]
 * @property {?boolean} [tests_after_switch]
 * @property {string[]} [tags]
 * @property {boolean} [runs_server]
 */

/**
 * A hold on every host that a selector matches.
 * @typedef {object} SelectorHold
 * @property {number} id
 * @property {string} selector
 * @property {string} by
 * @property {string} why
 * @property {number} since
 * @property {?number} until
 * @property {string[]} hosts Those that it matches now.
 */

/** @param {string} host */
const hostPath = (host) => `/api/v1/hosts/${encodeURIComponent(host)}`;

/** @returns {Promise<any>} */
export const windows = () => request("GET", "/api/v1/windows");

/** @param {Window} window */
export const putWindow = (window) =>
  request("PUT", `/api/v1/windows/${encodeURIComponent(window.id)}`, window);

/** @param {string} id */
export const removeWindow = (id) => request("DELETE", `/api/v1/windows/${encodeURIComponent(id)}`);

/** @returns {Promise<any>} */
export const quarantine = () => request("GET", "/api/v1/quarantine");

/** @param {string} commit @param {?string} lock @param {string} reason */
export const liftQuarantine = (commit, lock, reason) =>
  request("POST", "/api/v1/quarantine/lift", { commit, ...(lock ? { lock } : {}), reason });

/**
 * @param {string} host
 * @param {string} why
 * @param {string} [lasting] How long, like `2h`; without it, until somebody releases it.
 */
export const hold = (host, why, lasting) =>
  request("POST", `${hostPath(host)}/hold`, { why, ...(lasting ? { for: lasting } : {}) });

/** @param {string} host */
export const release = (host) => request("POST", `${hostPath(host)}/release`, {});

/** @returns {Promise<any>} */
export const selectorHolds = () => request("GET", "/api/v1/holds");

/** @param {string} selector @param {string} why @param {string} [lasting] */
export const holdBySelector = (selector, why, lasting) =>
  request("POST", "/api/v1/holds", { selector, why, ...(lasting ? { for: lasting } : {}) });

/** @param {number} id */
export const releaseSelector = (id) => request("DELETE", `/api/v1/holds/${id}`);

/** @param {string} [before] @returns {Promise<any>} */
export const audit = (before) =>
  request("GET", `/api/v1/audit?limit=50${before ? `&before=${encodeURIComponent(before)}` : ""}`);

/** @returns {Promise<any>} */
export const drift = () => request("GET", "/api/v1/drift");

/** @param {string} host @returns {Promise<any>} */
export const host = (host) => request("GET", hostPath(host));

/** @param {string} host @param {Settings} settings */
export const putSettings = (host, settings) =>
  request("PUT", `${hostPath(host)}/settings`, settings);

/** @param {string} host @returns {Promise<any>} */
export const generations = (host) => request("GET", `${hostPath(host)}/generations`);

/** @param {string} host @returns {Promise<any>} */
export const deploys = (host) => request("GET", `${hostPath(host)}/deploys`);

/** Tells something to every channel. */
export const testNotifications = () => request("POST", "/api/v1/notifications/test", {});

/** @returns {Promise<any>} */
export const notifications = () => request("GET", "/api/v1/notifications");
