// The state of one execution: what is left when its events are applied in order. The twin of runtime/state.py, as far as a
// picture needs it. Mutable: a draft is filled by fold.ts, and copied when a moment has to be kept.
import type { Status } from "../api/types";
import type { Debug } from "./debugging";

export type Phase = "ready" | "running" | "retrying" | "waiting" | "mapping" | "completed" | "failed" | "not_taken" | "cancelled";
export const LIVE = ["ready", "running", "retrying", "waiting", "mapping"] as const;
export type Arm = "arrived" | "not_taken" | "failed";

/** `number/iteration`: a node in one iteration. */
export type Key = string;
export const keyOf = (node: number, iteration: readonly number[]): Key => `${node}/${iteration.join(".")}`;
export const nodeOf = (key: Key): number => Number(key.slice(0, key.indexOf("/")));
export const iterationOf = (key: Key): number[] => {
  const text = key.slice(key.indexOf("/") + 1);
  return text === "" ? [] : text.split(".").map(Number);
};

export interface Run {
  phase: Phase;
  attempt: number;
  seq: number;
}

export interface Wait {
  kind: string;
  name: string;
  due: number | null;
}

export interface Arms {
  arrived: number;
  not_taken: number;
  failed: number;
}

export interface Mapping {
  total: number;
  begun: number;
  done: number;
  tolerant: boolean;
}

export class State {
  seq = 0;
  at = 0;
  status: Status = "QUEUED";
  nodes = new Map<Key, Run>();
  /** Keys of the nodes that are alive, by phase; for `retrying` and `waiting` the moment is kept. */
  live = { ready: new Set<Key>(), running: new Map<Key, number>(), retrying: new Map<Key, number>(), waiting: new Map<Key, Wait>(), mapping: new Map<Key, Mapping>() };
  pauses = new Map<string, Key>();
  counts = new Map<Key, Arms>();
  /** Joins that have heard of some arms and still wait for others. */
  gates = new Set<Key>();
  undoing: Key[] | null = null;
  doom = false;
  takeovers = 0;
  started = false;
  /** Whether somebody holds the run: nothing new starts. */
  held = false;
  debug: Debug | null = null;

  copy(): State {
    const other = Object.assign(new State(), this);
    other.nodes = new Map(this.nodes);
    const { ready, running, retrying, waiting, mapping } = this.live;
    other.live = { ready: new Set(ready), running: new Map(running), retrying: new Map(retrying), waiting: new Map(waiting), mapping: new Map(mapping) };
    other.pauses = new Map(this.pauses);
    other.counts = new Map(this.counts);
    other.gates = new Set(this.gates);
    other.undoing = this.undoing && [...this.undoing];
    return other;
  }
}
