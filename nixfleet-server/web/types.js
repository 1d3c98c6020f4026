// What the server sends, as types for the other files. Nothing is executed here.

/**
 * @typedef {"unknown" | "ok" | "outdated" | "error" | "working"} Status
 * @typedef {"agent" | "git" | "lock" | "system" | "tests"} Compartment
 * @typedef {{ code: string } & Record<string, unknown>} Coded A reason or an attention.
 * @typedef {{ epoch: number, number: number }} Version
 *
 * @typedef {object} HostView
 * @property {string} id
 * @property {string} hostname
 * @property {boolean} online
 * @property {number} [offline_since]
 * @property {string} [host_type]
 * @property {string} [location]
 * @property {string} [device_type]
 * @property {?{ by: string, why: string, until: ?number }} [hold] Of several, the one that lasts longest.
 * @property {number} [held_by_selector] The number of that hold, if it is one by selector.
 * @property {{ by: string, why: string, until: ?number }} [own_hold] The hold on this host alone, where one by selector lasts longer.
 * @property {string} [os_version]
 * @property {unknown} [deployed]
 * @property {string} [running]
 *
 * @typedef {object} StatusView
 * @property {string} id
 * @property {Status[]} s Five statuses, in the order of the compartments.
 * @property {Coded[]} r Their reasons.
 * @property {Coded[]} [a] Attentions.
 * @property {boolean} [g] Whether the host counts as plain green.
 *
 * @typedef {object} CommandView
 * @property {string} id
 * @property {string} host
 * @property {string} op
 * @property {string} phase
 * @property {number} seq
 * @property {number} created
 * @property {number} since
 * @property {string} [ending]
 * @property {string} [message]
 * @property {number} [exit_code]
 * @property {{ stage: string, current: number, total: number }} [progress]
 *
 * @typedef {object} DesiredView
 * @property {string} agent_version
 * @property {{ state: "verified" } | { state: "failed", cause: string, hint: string, since: ?number }} remote
 * @property {?string} commit
 * @property {?string} lock
 * @property {?string} subject
 * @property {?number} commit_time
 * @property {?string} branch
 * @property {boolean} [host_driven] Whether hosts may update inputs and push.
 *
 * @typedef {object} PendingPr
 * @property {number} number
 * @property {string} title
 * @property {string} url
 * @property {?number} [created_at]
 * @property {string[]} [changes] `nixpkgs abc1234 → def5678`, one for each input.
 *
 * @typedef {{ n: number, at: number, host?: string, code: string, text: string }} EventView
 *
 * @typedef {object} StatePart
 * @property {DesiredView} [desired]
 * @property {PendingPr} [update_pr]
 * @property {Record<string, HostView>} [hosts]
 * @property {Record<string, StatusView>} [statuses]
 * @property {Record<string, CommandView>} [commands]
 * @property {Record<string, EventView>} [events]
 * @property {Record<string, import("./rollouts/types.js").RolloutView>} [rollouts]
 * @property {import("./updates/types.js").UpdatesView} [updates]
 *
 * @typedef {{ version: Version, part: number, parts: number, state: StatePart }} FullState
 * @typedef {Record<string, any>} Change One entity's new value, under the name of the change.
 *   Statuses are an object, or an array of entries in few bytes; each entry is a change.
 * @typedef {{ type: string, payload: any }} ServerMessage
 *
 * @typedef {{ offers: string[], stop: boolean, log: boolean }} Click
 * @typedef {{ status: Status, reason: Coded, message: string, details: string[], click?: Click }} Detail
 *
 * @typedef {object} Letter
 * @property {string} code
 * @property {{ name: string, told?: string, at?: string[], before?: boolean }[]} parameters Each is
 *   told as a number, stands at one of these places, or both; or it is what it was.
 *
 * @typedef {object} Letters
 * @property {Record<string, Status>} statuses
 * @property {Record<string, Letter>} reasons
 * @property {Record<string, Letter>} attentions
 * @property {string} green
 * @property {Record<string, unknown[]>} numbers What a number means, by its kind.
 * @property {number} http_status_from
 *
 * @typedef {object} Tables
 * @property {Record<string, string>} reasons Short sentence by code, with placeholders.
 * @property {{ code: string, label: string, template: string, compartment: ?Compartment }[]} attentions
 * @property {{ op: string, help: string }[]} ops
 * @property {Letters} compact
 * @property {{ phase: string, terminal: boolean, active: boolean }[]} phases
 */

export {};
