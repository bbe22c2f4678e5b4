// How one settled node settles the next: the twin of runtime/settling.py.
import { reached } from "./debugging";
import { keyOf, iterationOf, nodeOf, LIVE, type Arm, type Arms, type Key, type State } from "./state";
import type { Arrow, Topology } from "./topology";

/** An arm to settle: where it leads, and what it brings. */
type Work = [target: Key, arm: Arm];
type Draft = { topology: Topology; state: State };

export function completed({ topology, state }: Draft, key: Key, skipped: readonly number[]): void {
  const [node, iteration] = [nodeOf(key), iterationOf(key)];
  const again = topology.backs[node]!.filter(([edge]) => !skipped.includes(edge));
  if (again.length) {
    const target = again[0]![1];
    makeReady(state, keyOf(target, topology.again(target, iteration)));
    return;
  }
  const work = arrows(topology, key, topology.follows[node]!, "arrived", skipped);
  settle({ topology, state }, [...work, ...arrows(topology, key, topology.rescues[node]!, "not_taken")]);
}

export function fail({ topology, state }: Draft, key: Key, skipped: readonly number[], attempt: number): Work[] {
  const node = nodeOf(key);
  state.nodes.set(key, { phase: "failed", attempt, seq: state.seq });
  const handled = topology.rescues[node]!.some(([edge, target]) => !skipped.includes(edge) && topology.reaches[target]);
  const work = arrows(topology, key, topology.rescues[node]!, "arrived", skipped);
  work.push(...arrows(topology, key, topology.follows[node]!, handled ? "not_taken" : "failed"));
  if (!handled) doom({ topology, state }, key);
  return work;
}

/** Work off `work` and all that follows from it. */
export function settle({ topology, state }: Draft, work: Work[]): void {
  work.reverse();
  while (work.length) {
    const [key, arm] = work.pop()!;
    const target = nodeOf(key);
    const joins = topology.needs(target) > 1;
    const verdict = joins ? hear({ topology, state }, key, arm) : arm;
    if (verdict === "arrived") {
      makeReady(state, key);
    } else if (verdict === "not_taken") {
      state.nodes.set(key, { phase: "not_taken", attempt: 0, seq: state.seq });
      work.push(...arrows(topology, key, [...topology.follows[target]!, ...topology.rescues[target]!], "not_taken"));
    } else if (verdict === "failed" && joins) {
      const captives = topology.captives(target);
      cancel(state, (node) => captives.has(node));
      work.push(...fail({ topology, state }, key, [], 0));
    } else if (verdict === "failed") {
      state.nodes.set(key, { phase: "cancelled", attempt: 0, seq: state.seq });
      work.push(...arrows(topology, key, topology.follows[target]!, "failed"), ...arrows(topology, key, topology.rescues[target]!, "not_taken"));
      doom({ topology, state }, key);
    }
  }
}

/** Stop every live node that `which` names by its number. */
export function cancel(state: State, which: (node: number) => boolean): void {
  for (const phase of LIVE) {
    const group = state.live[phase];
    for (const key of [...group.keys()]) {
      if (!which(nodeOf(key))) continue;
      group.delete(key);
      state.nodes.set(key, { phase: "cancelled", attempt: state.nodes.get(key)!.attempt, seq: state.seq });
    }
  }
  for (const [pause, key] of [...state.pauses]) if (which(nodeOf(key))) state.pauses.delete(pause);
  for (const key of [...state.gates]) if (which(nodeOf(key))) state.gates.delete(key);
}

/** A gate's time is up: only an OR that tolerates failures goes with what has arrived; else it fails. */
export function timeOut({ topology, state }: Draft, key: Key): void {
  state.gates.delete(key);
  const join = topology.joins[nodeOf(key)]!;
  if (join.kind === "OR" && !join.failFast) return makeReady(state, key);
  const captives = topology.captives(nodeOf(key));
  cancel(state, (node) => captives.has(node));
  settle({ topology, state }, fail({ topology, state }, key, [], 0));
}

export function makeReady(state: State, key: Key): void {
  state.nodes.set(key, { phase: "ready", attempt: 0, seq: state.seq });
  state.live.ready.add(key);
  reached(state, nodeOf(key));
}

function arrows(topology: Topology, key: Key, list: readonly Arrow[], arm: Arm, skipped: readonly number[] = []): Work[] {
  const [node, iteration] = [nodeOf(key), iterationOf(key)];
  return list.map(([edge, target]) => [keyOf(target, topology.looped ? topology.across(node, target, iteration) : iteration), skipped.includes(edge) ? "not_taken" : arm]);
}

/** Note one arm of a join and say what becomes of it; `null`: not yet. */
function hear({ topology, state }: Draft, key: Key, arm: Arm): Arm | null {
  const counts: Arms = { arrived: 0, not_taken: 0, failed: 0, ...state.counts.get(key) };
  counts[arm] += 1;
  state.counts.set(key, counts);
  if (state.nodes.has(key)) return null; // it went without this arm
  const verdict = judge(topology, nodeOf(key), arm, counts);
  if (verdict === null) state.gates.add(key);
  else state.gates.delete(key);
  return verdict;
}

function judge(topology: Topology, node: number, arm: Arm, counts: Arms): Arm | null {
  const join = topology.joins[node]!;
  if (arm === "failed" && join.failFast) return "failed";
  const missing = topology.needs(node) - counts.arrived - counts.not_taken - counts.failed;
  switch (join.kind) {
    case "XOR":
    case "FIRST":
      return arm === "arrived" ? "arrived" : missing === 0 ? "not_taken" : null;
    case "AND":
      return counts.not_taken || counts.failed ? "not_taken" : missing === 0 ? "arrived" : null;
    case "OR":
      return missing ? null : counts.arrived ? "arrived" : "not_taken";
    case "N_OF_M":
      return counts.arrived >= join.n ? "arrived" : counts.arrived + missing < join.n ? "failed" : null;
  }
}

/** If `key` is the terminal, the run will fail: stop all that works towards it. */
function doom({ topology, state }: Draft, key: Key): void {
  if (nodeOf(key) !== topology.terminal || state.doom || state.undoing) return;
  state.doom = true;
  cancel(state, (node) => topology.reaches[node]!);
}
