// Journals by hand, for tests.
import type { JournalEvent, Json } from "../api/types";

export function journal(...events: [kind: string, node?: string, attempt?: number, body?: Record<string, Json>][]): JournalEvent[] {
  return events.map(([kind, node = null as never, attempt = 0, body = {}], index) => ({ seq: index + 1, at: new Date(1_000 + index).toISOString(), kind, node, iteration: [], attempt, epoch: 1, body }));
}

