// The run as bars: one for each attempt of a node, from the journal alone.
import type { JournalEvent } from "../api/types";

export interface Bar {
  node: string;
  iteration: number[];
  attempt: number;
  start: number;
  /** `null` while it runs. */
  end: number | null;
  outcome: "running" | "completed" | "failed" | "cancelled" | "waiting";
  seq: number;
}

const OUTCOMES: Record<string, Bar["outcome"]> = { NodeCompleted: "completed", NodeFailed: "failed", NodeCancelled: "cancelled", NodeWaiting: "waiting" };
const ENDS = new Set(["ExecutionCompleted", "ExecutionFailed", "ExecutionCancelled"]);

export function bars(events: readonly JournalEvent[]): Bar[] {
  const made: Bar[] = [];
  const open = new Map<string, Bar>();
  const begin = (event: JournalEvent, key: string, outcome: Bar["outcome"]) => {
    const bar: Bar = { node: event.node!, iteration: event.iteration, attempt: event.attempt, start: Date.parse(event.at), end: null, outcome, seq: event.seq };
    made.push(bar);
    open.set(key, bar);
  };
  for (const event of events) {
    if (ENDS.has(event.kind)) {
      for (const bar of open.values()) [bar.end, bar.outcome] = [Date.parse(event.at), bar.outcome === "running" ? "cancelled" : bar.outcome];
      open.clear();
    }
    if (!event.node) continue;
    const key = `${event.node}/${event.iteration.join(".")}`;
    const outcome = OUTCOMES[event.kind];
    if (event.kind === "NodeStarted" || event.kind === "NodeWoken" || outcome) {
      const bar = open.get(key);
      if (bar) {
        bar.end = Date.parse(event.at);
        if (outcome && outcome !== "waiting" && bar.outcome === "running") bar.outcome = outcome;
        else if (outcome === "waiting") bar.outcome = "completed";
        open.delete(key);
      }
      if (event.kind === "NodeStarted" || event.kind === "NodeWoken") begin(event, key, "running");
      else if (outcome === "waiting") begin(event, key, "waiting");
    }
  }
  return made;
}
