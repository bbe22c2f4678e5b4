// The fold: one event after another makes the state. The twin of runtime/fold.py; `fold.test.ts` plays journals of real
// runs and compares with what Python made of them. It is lenient where Python is strict: an event that can't happen
// changes nothing, since a page should rather draw a damaged journal than none.
import type { JournalEvent, Json, Status } from "../api/types";
import { begun, debugRest, opened, ordered } from "./debugging";
import { cancel, completed, fail, makeReady, settle, timeOut } from "./settling";
import { keyOf, iterationOf, nodeOf, State, type Key, type Phase } from "./state";
import type { Topology } from "./topology";

const SHORT_WAIT_MS = 1_000;
const ENDS: Record<string, Status> = { ExecutionCompleted: "COMPLETED", ExecutionFailed: "FAILED", ExecutionCancelled: "CANCELLED" };
export const FINAL: ReadonlySet<string> = new Set(["COMPLETED", "FAILED", "CANCELLED"]);

type Draft = { topology: Topology; state: State };
type Apply = (draft: Draft, event: JournalEvent) => void;

/** Apply one event to a draft. */
export function apply(topology: Topology, state: State, event: JournalEvent): void {
  if (FINAL.has(state.status)) return;
  state.seq = event.seq;
  state.at = Math.max(state.at, Date.parse(event.at));
  APPLY[event.kind]?.({ topology, state }, event);
}

export function fold(topology: Topology, events: readonly JournalEvent[], state = new State()): State {
  for (const event of events) apply(topology, state, event);
  return state;
}

const skippedOf = (event: JournalEvent): number[] => (event.body.skipped as number[] | undefined) ?? [];

function keyOfEvent({ topology }: Draft, event: JournalEvent): Key | null {
  const number = topology.numbers.get(event.node ?? "");
  return number === undefined ? null : keyOf(number, event.iteration);
}

/** The key of a node whose running attempt ends here; `null` for a late result. */
function finished(draft: Draft, event: JournalEvent): Key | null {
  const key = keyOfEvent(draft, event);
  if (key === null || draft.state.live.running.get(key) !== event.attempt) return null;
  draft.state.live.running.delete(key);
  draft.state.takeovers = 0;
  return key;
}

function set(state: State, key: Key, phase: Phase, attempt: number): void {
  state.nodes.set(key, { phase, attempt, seq: state.seq });
}

function run(state: State, key: Key, attempt: number): void {
  state.live.running.set(key, attempt);
  set(state, key, "running", attempt);
  if (!state.undoing) state.status = "RUNNING";
}

function undoNext(state: State): void {
  if (state.undoing?.length) makeReady(state, state.undoing[0]!);
}

/** The map that this key is an item of. */
function mapOf({ topology }: Draft, key: Key): Key | null {
  const [node, iteration] = [nodeOf(key), iterationOf(key)];
  return topology.mapped.has(node) && iteration.length > topology.depths[node]! ? keyOf(node, iteration.slice(0, -1)) : null;
}

function itemDone({ state }: Draft, parent: Key): void {
  const mapping = state.live.mapping.get(parent);
  if (!mapping) return;
  const next = { ...mapping, done: mapping.done + 1 };
  if (mapping.begun < mapping.total) {
    makeReady(state, keyOf(nodeOf(parent), [...iterationOf(parent), mapping.begun]));
    next.begun += 1;
  }
  state.live.mapping.set(parent, next);
}

function closeMap(state: State, parent: Key): void {
  const begun = state.live.mapping.get(parent)?.begun ?? 0;
  state.live.mapping.delete(parent);
  for (let index = 0; index < begun; index++) {
    const key = keyOf(nodeOf(parent), [...iterationOf(parent), index]);
    for (const phase of ["ready", "running", "retrying", "waiting"] as const) {
      if (state.live[phase].delete(key)) set(state, key, "cancelled", state.nodes.get(key)!.attempt);
    }
  }
}

const accepted: Apply = ({ topology, state }, event) => {
  opened(topology, state, event);
  const entry = keyOf(topology.entry, topology.opening());
  const readyAt = event.body.ready_at;
  if (typeof readyAt === "number" && readyAt > Date.parse(event.at) && topology.mode === "unary") {
    set(state, entry, "retrying", 0);
    state.live.retrying.set(entry, readyAt);
  } else makeReady(state, entry);
};

const nodeStarted: Apply = (draft, event) => {
  const key = keyOfEvent(draft, event);
  if (key === null) return;
  draft.state.live.ready.delete(key);
  draft.state.live.retrying.delete(key);
  begun(draft.state, key);
  run(draft.state, key, event.attempt);
};

const nodeCompleted: Apply = (draft, event) => {
  const { state } = draft;
  const key = finished(draft, event);
  if (key === null) return;
  completes(draft, key, event);
  rest(state);
};

function completes(draft: Draft, key: Key, event: JournalEvent): void {
  const { state } = draft;
  set(state, key, "completed", event.attempt);
  const parent = mapOf(draft, key);
  if (state.undoing) {
    state.undoing.shift();
    undoNext(state);
  } else if (parent !== null) itemDone(draft, parent);
  else completed(draft, key, skippedOf(event));
}

/** An outcome of the run that this one is a fork of: as if the node had started and ended here. */
const nodeReused: Apply = (draft, event) => {
  const { state } = draft;
  const key = keyOfEvent(draft, event);
  if (key === null || !(state.live.mapping.delete(key) || state.live.ready.delete(key))) return;
  if (event.body.opened) openMap(state, key, event.body.opened as unknown as Opened, event.attempt);
  else if (event.body.code) failedForGood(draft, key, event);
  else completes(draft, key, event);
};

const nodeFailed: Apply = (draft, event) => {
  const { state } = draft;
  const key = finished(draft, event);
  if (key === null) return;
  const retryAt = event.body.retry_at;
  if (typeof retryAt === "number") {
    set(state, key, "retrying", event.attempt);
    state.live.retrying.set(key, retryAt);
  } else failedForGood(draft, key, event);
  rest(state);
};

function failedForGood(draft: Draft, key: Key, event: JournalEvent): void {
  const { state } = draft;
  if (state.undoing) {
    set(state, key, "failed", event.attempt);
    state.undoing.shift();
    return undoNext(state);
  }
  const parent = mapOf(draft, key);
  if (parent !== null) {
    set(state, key, "failed", event.attempt);
    if (state.live.mapping.get(parent)?.tolerant) return itemDone(draft, parent);
    closeMap(state, parent);
  }
  settle(draft, fail(draft, parent ?? key, skippedOf(event), event.attempt));
}

const nodeWaiting: Apply = (draft, event) => {
  const { state } = draft;
  const key = finished(draft, event);
  if (key === null) return;
  const { for: kind, name, due } = event.body;
  set(state, key, "waiting", event.attempt);
  state.live.waiting.set(key, { kind: String(kind), name: String(name ?? ""), due: typeof due === "number" ? due : null });
  if (kind === "pause") state.pauses.set(String(name ?? ""), key);
  rest(state);
};

const nodeWoken: Apply = (draft, event) => {
  const { state } = draft;
  const key = keyOfEvent(draft, event);
  if (key === null) return;
  if (!state.live.mapping.delete(key)) {
    const wait = state.live.waiting.get(key);
    state.live.waiting.delete(key);
    if (wait?.kind === "pause") state.pauses.delete(wait.name);
  }
  run(state, key, event.attempt);
};

const mapOpened: Apply = (draft, event) => {
  const { state } = draft;
  const key = finished(draft, event);
  if (key === null) return;
  openMap(state, key, event.body as unknown as Opened, event.attempt);
  debugRest(state);
};

interface Opened {
  count: number;
  bound: number;
  tolerant: boolean;
}

/** A node becomes as many items as it was opened with; the first of them may start. */
function openMap(state: State, key: Key, { count, bound, tolerant }: Opened, attempt: number): void {
  const begun = Math.min(count, bound);
  set(state, key, "mapping", attempt);
  state.live.mapping.set(key, { total: count, begun, done: 0, tolerant });
  for (let index = 0; index < begun; index++) makeReady(state, keyOf(nodeOf(key), [...iterationOf(key), index]));
}

const gateTimedOut: Apply = (draft, event) => {
  const key = keyOfEvent(draft, event);
  if (key === null || !draft.state.gates.has(key)) return;
  timeOut(draft, key);
  rest(draft.state);
};

const pauseChanged: Apply = ({ state }, event) => {
  const key = state.pauses.get(String(event.body.pause_id));
  const wait = key === undefined ? undefined : state.live.waiting.get(key);
  if (key !== undefined && wait && "due" in event.body) {
    const due = event.body.due as Json;
    state.live.waiting.set(key, { ...wait, due: typeof due === "number" ? due : null });
  }
};

const ended: Apply = ({ state }, event) => {
  state.status = ENDS[event.kind]!;
  cancel(state, () => true);
};

const APPLY: Record<string, Apply> = {
  ExecutionAccepted: accepted,
  ExecutionStarted: ({ state }) => {
    state.started = true;
    state.status = state.held ? "PAUSED" : "RUNNING";
    rest(state); // one that starts later was claimed because somebody wrote to it
  },
  ExecutionTakenOver: ({ state }) => void (state.takeovers += 1),
  NodeStarted: nodeStarted,
  NodeCompleted: nodeCompleted,
  NodeFailed: nodeFailed,
  NodeWaiting: nodeWaiting,
  NodeWoken: nodeWoken,
  MapOpened: mapOpened,
  GateWaiting: ({ state }) => rest(state),
  GateTimedOut: gateTimedOut,
  PauseChanged: pauseChanged,
  CancelRequested: ({ state }) => {
    state.held = false;
    state.status = "COMPENSATING";
    if (!state.undoing) cancel(state, () => true);
  },
  NodeReused: nodeReused,
  DebugOrdered: ({ topology, state }, event) => ordered(topology, state, event),
  ExecutionHeld: ({ state }) => {
    state.held = true;
    state.status = "PAUSED";
  },
  ExecutionResumed: ({ state }) => {
    state.held = false;
    state.status = state.started ? "RUNNING" : "QUEUED";
    rest(state);
  },
  CompensationStarted: ({ topology, state }, event) => {
    state.held = false;
    cancel(state, () => true);
    state.undoing = (event.body.undo as [string, number[]][]).map(([alias, iteration]) => keyOf(topology.numbers.get(alias) ?? -1, iteration));
    state.status = "COMPENSATING";
    undoNext(state);
  },
  ExecutionCompleted: ended,
  ExecutionFailed: ended,
  ExecutionCancelled: ended,
};

/** The status of a run in which nothing runs: what it waits for, if the wait is worth showing. */
function rest(state: State): void {
  if (debugRest(state)) return;
  const { running, ready, retrying, waiting } = state.live;
  if (state.held || running.size || ready.size || state.undoing || !(retrying.size || waiting.size)) return;
  if (state.pauses.size) state.status = "PAUSED";
  else if (state.gates.size) state.status = "WAITING_ON_GATE";
  else {
    const dues = [...retrying.values(), ...[...waiting.values()].flatMap((wait) => (wait.due === null ? [] : [wait.due]))];
    state.status = dues.length && Math.min(...dues) - state.at < SHORT_WAIT_MS ? "RUNNING" : "WAITING";
  }
}
