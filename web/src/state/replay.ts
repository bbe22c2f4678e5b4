// The state at any moment of a run. A state is kept every STRIDE events, so that going to a moment folds few of them,
// however long the run is; events that arrive later only add to the end.
import type { JournalEvent } from "../api/types";
import { apply } from "./fold";
import { nodeOf, State, type Phase } from "./state";
import type { Topology } from "./topology";

const STRIDE = 256;

export class Replay {
  readonly events: JournalEvent[] = [];
  private readonly kept: State[] = [new State()];
  private last: { count: number; state: State } | null = null;
  private end: { count: number; state: State } | null = null;

  constructor(readonly topology: Topology) {}

  get seq(): number {
    return this.events.at(-1)?.seq ?? 0;
  }

  /** Add what follows; what is known already is left out. Whether anything was new. */
  extend(events: readonly JournalEvent[]): boolean {
    const fresh = events.filter((event) => event.seq > this.seq);
    if (!fresh.length) return false;
    this.events.push(...fresh);
    return true;
  }

  /** The state after the first `count` events. Not to be changed. */
  at(count: number): State {
    const wanted = Math.max(0, Math.min(count, this.events.length));
    if (this.last?.count === wanted) return this.last.state;
    if (this.end?.count === wanted) return this.end.state;
    const full = Math.floor(wanted / STRIDE);
    while (this.kept.length <= full) {
      const next = this.kept.at(-1)!.copy();
      const from = (this.kept.length - 1) * STRIDE;
      for (const event of this.events.slice(from, from + STRIDE)) apply(this.topology, next, event);
      this.kept.push(next);
    }
    const state = this.kept[full]!.copy();
    for (const event of this.events.slice(full * STRIDE, wanted)) apply(this.topology, state, event);
    this.last = { count: wanted, state };
    if (wanted === this.events.length) this.end = this.last;
    return state;
  }
}

export interface Picture {
  phase: Phase | "idle";
  attempt: number;
  /** How many iterations are in each phase: more than one for loops and maps. */
  iterations: number;
  completed: number;
}

/** What a node that runs several times looks like: the liveliest of its iterations. */
const RANK: Record<Phase, number> = { running: 9, waiting: 8, retrying: 7, mapping: 6, ready: 5, failed: 4, completed: 3, cancelled: 2, not_taken: 1 };

/** What to draw of each node, by its alias. */
export function picture(topology: Topology, state: State): Map<string, Picture> {
  const drawn = new Map<string, Picture>(topology.aliases.map((alias) => [alias, { phase: "idle", attempt: 0, iterations: 0, completed: 0 }]));
  for (const [key, run] of state.nodes) {
    const one = drawn.get(topology.aliases[nodeOf(key)] ?? "");
    if (!one) continue;
    one.iterations += 1;
    if (run.phase === "completed") one.completed += 1;
    if (one.phase === "idle" || RANK[run.phase] >= RANK[one.phase]) [one.phase, one.attempt] = [run.phase, run.attempt];
  }
  return drawn;
}
