// What the server sends about rollouts, as types for the other files. Nothing is executed here.

/**
 * @import { Actor } from "../updates/types.js"
 *
 * @typedef {"pause" | "resume" | "cancel" | "retry-failed" | "skip-host" | "approve" | "roll-back"} Verb
 * @typedef {{ code: string, subject?: string, until?: number }} Wait
 * @typedef {"rollout" | { pipeline: string }} Kind
 * @typedef {{ commit: string, lock: ?string }} Target
 *
 * @typedef {object} RolloutHost
 * @property {string} host
 * @property {number} [wave] None if it was left out from the beginning.
 * @property {boolean} [canary]
 * @property {string} [stage]
 * @property {"waiting" | "running" | "done" | "failed" | "skipped" | "cancelled"} state
 * @property {Wait} [wait]
 * @property {string} [command]
 * @property {string} [message]
 * @property {string | Record<string, string>} [rolled_back]
 * @property {string} [skipped]
 *
 * @typedef {object} Totals
 * @property {number} targets
 * @property {number} done
 * @property {number} failed
 * @property {number} skipped
 * @property {number} cancelled
 * @property {number} in_flight
 *
 * @typedef {object} RolloutView
 * @property {string} id
 * @property {Kind} kind
 * @property {Actor} actor
 * @property {string} state
 * @property {string} [reason]
 * @property {number} created
 * @property {number} since
 * @property {Target} [target]
 * @property {string} plan
 * @property {number} wave From 0.
 * @property {number} waves
 * @property {Totals} totals
 * @property {string} [stage_now]
 * @property {number} [estimate_seconds]
 * @property {RolloutHost[]} hosts
 * @property {Verb[]} offers
 *
 * @typedef {object} Policy
 * @property {"flagged" | "none" | { count: number } | { hosts: string[] }} canaries
 * @property {number} soak_seconds
 * @property {{ count: number } | { percent: number }} max_in_flight
 * @property {string[]} stages
 * @property {boolean} barrier
 * @property {"stop" | { continue_up_to: number }} on_failure
 * @property {"none" | "failed-hosts" | "all-hosts" | "all-hosts-and-revert"} roll_back
 * @property {"skip" | "wait" | { queue_until: number }} offline
 * @property {boolean} approve_waves
 * @property {string} class
 *
 * @typedef {object} Plan
 * @property {string} id
 * @property {Kind} kind
 * @property {?Target} target
 * @property {Policy} policy
 * @property {string[]} ops
 * @property {{ hosts: string[], canary: boolean }[]} waves
 * @property {{ host: string, reason: string, subject?: string }[]} skipped
 *
 * @typedef {{ hosts?: string | string[], policy?: Partial<Policy> }} Ask
 * @typedef {{ at_seconds: number, host?: string, what: string, wait?: Wait | string }} Step
 * @typedef {{ plan: Plan, steps: Step[], result: any }} Simulated
 */

export {};
