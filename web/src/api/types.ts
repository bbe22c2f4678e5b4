// What the HTTP doors answer, as far as the pages read it.

export const STATUSES = ["QUEUED", "RUNNING", "PAUSED", "WAITING_ON_GATE", "DEBUG_PAUSED", "WAITING", "COMPLETED", "FAILED", "COMPENSATING", "CANCELLED"] as const;
export type Status = (typeof STATUSES)[number];

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type Schema = boolean | { [key: string]: Json };

export interface Row {
  execution_id: string;
  flow: string;
  graph_id: string;
  mode: "unary" | "pipeline";
  status: Status;
  created_at: string;
  started_at: string | null;
  updated_at: string;
  completed_at: string | null;
  duration_ms: number | null;
}

export interface Failure {
  code: string;
  message: string;
  node: string | null;
}

export interface Execution extends Row {
  seq: number;
  epoch: number;
  queue: string;
  frames: number;
  idempotency_key: string | null;
  origin?: Relative | null;
  forks?: Relative[];
  parent?: Relative | null;
  children?: Relative[];
  error: Failure | null;
}

/** Another execution of the same family. */
export interface Relative {
  execution_id: string;
  kind?: string;
  node?: string;
}

export interface ForkPlan {
  reused: { node: string; iteration: number[] }[];
  starts: { node: string; iteration: number[] }[];
  effects: { node: string; iteration: number[]; counts_once: boolean }[];
}

export interface JournalEvent {
  seq: number;
  at: string;
  kind: string;
  node: string | null;
  iteration: number[];
  attempt: number;
  epoch: number;
  body: { [key: string]: Json };
}

export interface Checkpoint {
  seq: number;
  at: string;
  node: string;
  iteration: number[];
  attempt: number;
  duration_ms: number | null;
  output: Json;
}

export interface Branches {
  branches: { arm: string; gate: string; iteration: number[]; state: string; since: string | null; node: string | null }[];
  gates: { gate: string; iteration: number[]; kind: string; failure_policy: string; state: string; since: string | null; due: string | null; needs: string }[];
}

export interface Pause {
  execution_id?: string;
  flow?: string;
  graph_id?: string;
  pause_id: string;
  node: string;
  iteration: number[];
  status: "open" | "answered" | "escalating" | "expired" | "cancelled";
  message: Json;
  schema: Schema;
  opened_at: string;
  deadline: string | null;
  policy: { timeout_policy: string | null; resume_with: Json; escalate_to: string[]; remind_every_ms: number | null };
  quorum: number;
  level: number;
  assignees: string[];
  comments: { at: string; by: string | null; text: string }[];
  answers: { at: string; by: string | null; comment: string | null; input: Json }[];
}

export interface Why {
  status: Status;
  summary: string;
  mover: string;
  until: string | null;
}

export interface ArtifactNode {
  number: number;
  alias: string;
  kind: string;
  package: string;
  version: string;
  node: string;
  type: string;
  pool: string;
  timeout_seconds: number;
  max_attempts: number;
  join: "AND" | "OR" | "XOR" | "N_OF_M" | "FIRST" | null;
  join_n: number | null;
  join_policy: "FAIL_FAST" | "TOLERATE_FAILURES" | null;
  traits: string[];
  position: [number, number] | null;
}

export interface ArtifactEdge {
  number: number;
  from: string;
  to: string;
  on_error: boolean;
  conditional: boolean;
  adapted: boolean;
  loop: boolean;
}

export interface Artifact {
  graph_id: string;
  name: string;
  version: string;
  mode: "unary" | "pipeline";
  description: string;
  created_at: string;
  input: Schema;
  output: Schema;
  entry: string;
  terminal: string;
  nodes: ArtifactNode[];
  edges: ArtifactEdge[];
  compensate: { [alias: string]: string };
  source: string;
}

export interface Alias {
  name: string;
  graph_id: string;
  version: number;
  moved_at: string;
  moves?: number;
  history?: { version: number; graph_id: string; at: string; by: string; reason: string }[];
}

export interface Result {
  output?: Json;
  error?: Failure;
  success: boolean;
  completed_at: number;
}
