// Debug runs: stopping nodes before they start. The twin of runtime/debugging.py, as far as it shows.
import type { JournalEvent } from "../api/types";
import { keyOf, type Key, type State } from "./state";
import type { Topology } from "./topology";

export interface Debug {
  breakpoints: Set<number>;
  stopped: boolean;
  /** What may start all the same. */
  let: Key[];
}

const numbers = (topology: Topology, aliases: unknown): Set<number> => new Set(((aliases as string[] | undefined) ?? []).flatMap((alias) => topology.numbers.get(alias) ?? []));

/** The run begins as a debug run, if its first event says so. */
export function opened(topology: Topology, state: State, event: JournalEvent): void {
  const asked = event.body.debug as { breakpoints?: string[]; pause_at_start?: boolean } | undefined;
  if (asked) state.debug = { breakpoints: numbers(topology, asked.breakpoints), stopped: asked.pause_at_start === true, let: [] };
}

/** What a person ordered. */
export function ordered(topology: Topology, state: State, event: JournalEvent): void {
  const debug = state.debug ?? { breakpoints: new Set<number>(), stopped: false, let: [] };
  const action = event.body.action;
  if (action === "pause") state.debug = { ...debug, stopped: true };
  else if (action === "continue") state.debug = { ...debug, stopped: false, let: [] };
  else if (action === "breakpoints") state.debug = { ...debug, breakpoints: numbers(topology, event.body.breakpoints) };
  else if (action === "step") state.debug = { ...debug, let: [...debug.let, keyOf(topology.numbers.get(event.node ?? "") ?? -1, event.iteration)] };
  else state.debug = debug;
  if (state.status === "DEBUG_PAUSED") state.status = "RUNNING";
  if (state.started) debugRest(state);
}

/** A node that was let through has started: the next one is not. */
export function begun(state: State, key: Key): void {
  if (state.debug?.let.includes(key)) state.debug = { ...state.debug, let: state.debug.let.filter((other) => other !== key) };
}

/** A node with a breakpoint has become ready. */
export function reached(state: State, node: number): void {
  if (state.debug?.breakpoints.has(node) && !state.undoing) state.debug = { ...state.debug, stopped: true };
}

/** Show the run as stopped if nothing of it runs or may start, and something is held back; whether it is so. */
export function debugRest(state: State): boolean {
  const { debug } = state;
  if (!debug) return false;
  const { ready, running } = state.live;
  const free = !debug.stopped || state.undoing ? ready.size > 0 : debug.let.some((key) => ready.has(key));
  if (state.held || running.size || state.undoing || !ready.size || free) return false;
  state.status = "DEBUG_PAUSED";
  return true;
}
