// What things are called on the pages, and how times and sizes read.
import type { JournalEvent, Status } from "../api/types";

export const STATUS_WORDS: Record<Status, string> = {
  QUEUED: "Queued",
  RUNNING: "Running",
  PAUSED: "Paused (HITL)",
  WAITING_ON_GATE: "Waiting on gate",
  DEBUG_PAUSED: "Debug paused",
  WAITING: "Waiting",
  COMPLETED: "Completed",
  FAILED: "Failed",
  COMPENSATING: "Compensating",
  CANCELLED: "Cancelled",
};

/** A sign beside the word: colour alone tells nobody anything. */
export const STATUS_SIGNS: Record<Status, string> = {
  QUEUED: "◌",
  RUNNING: "▶",
  PAUSED: "❚❚",
  WAITING_ON_GATE: "⋈",
  DEBUG_PAUSED: "◉",
  WAITING: "◷",
  COMPLETED: "✓",
  FAILED: "✕",
  COMPENSATING: "↶",
  CANCELLED: "⊘",
};

export const FINAL_STATUSES: ReadonlySet<Status> = new Set<Status>(["COMPLETED", "FAILED", "CANCELLED"]);
export const isFinal = (status: Status): boolean => FINAL_STATUSES.has(status);

const UNITS: [number, string][] = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "min"],
  [1_000, "s"],
];

/** `1 h 4 min`, `12.5 s`, `40 ms`. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  const at = UNITS.findIndex(([size]) => ms >= size);
  const [[size, unit], next] = [UNITS[at]!, UNITS[at + 1]];
  const whole = Math.floor(ms / size);
  const rest = next ? Math.floor((ms - whole * size) / next[0]) : 0;
  return rest && next ? `${whole} ${unit} ${rest} ${next[1]}` : `${whole} ${unit}`;
}

/** `just now`, `3 min ago`, `in 2 h`. */
export function relative(at: number, now: number): string {
  const ms = Math.abs(now - at);
  if (ms < 5_000) return "just now";
  const [size, unit] = UNITS.find(([size]) => ms >= size) ?? [1_000, "s"];
  const told = `${Math.floor(ms / size)} ${unit}`;
  return at > now ? `in ${told}` : `${told} ago`;
}

/** The exact moment, here and in UTC. */
export function exact(at: number): string {
  const date = new Date(at);
  const here = date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
  return `${here} (${date.toISOString().replace("T", " ").replace("Z", " UTC")})`;
}

export function bytes(size: number): string {
  if (size < 1_024) return `${size} B`;
  return size < 1 << 20 ? `${(size / 1_024).toFixed(1)} KiB` : `${(size / (1 << 20)).toFixed(1)} MiB`;
}

export const plural = (count: number, word: string): string => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
export const shortId = (id: string): string => id.slice(0, 8);

const EVENT_WORDS: Record<string, string> = {
  ExecutionAccepted: "Accepted",
  ExecutionStarted: "Started by a worker",
  ExecutionTakenOver: "Taken over by another worker",
  NodeStarted: "Started",
  NodeCompleted: "Completed",
  NodeFailed: "Failed",
  NodeCancelled: "Cancelled",
  NodeWaiting: "Waits",
  NodeWoken: "Goes on",
  NodeStreaming: "Streams",
  NodeStreamed: "Has streamed",
  MapOpened: "Runs once per item",
  GateWaiting: "Gate waits for its other arms",
  GateTimedOut: "Gate timed out",
  NodeReused: "Reused",
  ExecutionHeld: "Held",
  ExecutionResumed: "Goes on",
  ExecutionMigrated: "Migrated",
  DebugOrdered: "Debugger",
  SignalReceived: "Event received",
  PauseAnswered: "Pause answered",
  PauseChanged: "Pause changed",
  CancelRequested: "Cancel requested",
  CompensationStarted: "Compensation begins",
  ExecutionCompleted: "Execution completed",
  ExecutionFailed: "Execution failed",
  ExecutionCancelled: "Execution cancelled",
  OutcomeDropped: "A late result was refused",
  TailLost: "The store lost events",
  CodeDrifted: "Runs with newer code",
};

/** What an event says, in a few words. */
export function told(event: JournalEvent): string {
  const body = event.body as Record<string, string | number | undefined>;
  const word = EVENT_WORDS[event.kind] ?? event.kind.replace(/(?<!^)([A-Z])/g, " $1");
  switch (event.kind) {
    case "NodeStarted":
      return event.attempt > 1 ? `${word}, attempt ${event.attempt}` : word;
    case "NodeCompleted":
      return body.ms === undefined ? word : `${word} in ${duration(Number(body.ms))}`;
    case "NodeFailed":
      return `${word}${body.retry_at ? ", will be tried again" : ""}: ${body.code}: ${body.message}`;
    case "NodeWaiting":
      return `${word} for ${body.for === "timer" ? "a time" : body.for === "pause" ? "a person" : `${body.for} ${body.name ?? ""}`}`;
    case "MapOpened":
      return `${word} (${body.count})`;
    case "ExecutionFailed":
      return `${word}: ${body.code}: ${body.message}`;
    case "ExecutionCancelled":
      return `${word}: ${body.reason}`;
    case "DebugOrdered":
      return `${word}: ${body.action}`;
    case "SignalReceived":
      return `${word}: ${body.name}`;
    default:
      return word;
  }
}
