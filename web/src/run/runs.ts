// Starting a run and following it: one result, or frames as they come. A stream that breaks off is taken up behind its last
// frame; leaving the dialog ends the following, never the run.
import { ApiError, call } from "../api/client";
import { stream, type Message } from "../api/sse";
import type { Artifact, Json, Result } from "../api/types";

const WAIT_SECONDS = 20;
const STREAM_SECONDS = 3_600;
const REST_MS = 1_000;
const TRIES = 30;

export interface Frame {
  frame_index: number;
  payload?: Json;
  is_final: boolean;
  success: boolean;
  error?: string;
  execution_id: string;
}

export interface Progress {
  executionId?: string;
  frames?: Frame[];
  result?: Result;
  error?: unknown;
}

export async function runUnary(artifact: Artifact, input: Json, told: (progress: Progress) => void, signal: AbortSignal): Promise<void> {
  const body = { graph_id: artifact.graph_id, input, wait: true, timeout_seconds: WAIT_SECONDS };
  const answer = await call<{ execution_id: string; result?: Result }>("/invocations/v1/flows/invoke", { method: "POST", body, signal });
  told({ executionId: answer.execution_id, ...(answer.result ? { result: answer.result } : {}) });
}

/** Keep the frames that are new; a final one that belongs to its connection alone is no end. */
export function taken(had: Frame[], messages: Message[]): { frames: Frame[]; end: Frame | null } {
  const frames = [...had];
  let end: Frame | null = null;
  for (const message of messages) {
    const frame = JSON.parse(message.data) as Frame;
    if (frame.is_final) end = message.id === null ? null : frame;
    else if (frame.frame_index >= frames.length) frames.push(frame);
  }
  return { frames, end };
}

export async function runPipeline(artifact: Artifact, input: Json, told: (progress: Progress) => void, signal: AbortSignal): Promise<void> {
  let frames: Frame[] = [];
  let end: Frame | null = null;
  let id = "";
  const take = (messages: Message[]) => {
    const first = messages[0] && (JSON.parse(messages[0].data) as Frame);
    id = first?.execution_id ?? id;
    ({ frames, end } = taken(frames, messages));
    const result = end && { success: end.success, completed_at: 0, ...(end.error ? { error: { code: "failed", message: end.error, node: null } } : {}) };
    told({ executionId: id, frames, ...(result ? { result } : {}) });
  };
  const headers = { "idempotency-key": crypto.randomUUID() };
  const body = { graph_id: artifact.graph_id, input, timeout_seconds: STREAM_SECONDS };
  for (let tries = 0; tries < TRIES && !end && !signal.aborted; tries++) {
    try {
      if (!id) await stream("/invocations/v1/flows/invoke/stream", take, { method: "POST", body, headers, signal });
      else await stream(`/invocations/v1/flows/${id}/stream?timeout_seconds=${STREAM_SECONDS}`, take, { headers: { "last-event-id": String(frames.length - 1) }, signal });
      if (end) return;
    } catch (failed) {
      if (signal.aborted) return;
      if (failed instanceof ApiError && failed.status >= 400 && failed.status < 500) throw failed;
      if (tries === TRIES - 1) throw failed;
    }
    await new Promise((resolve) => setTimeout(resolve, REST_MS));
  }
}
