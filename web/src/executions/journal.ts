// A run's journal in the browser: what is stored, page by page, then what comes, as it comes. The same after a reload and
// while it runs. Where a stream breaks off, it is taken up behind the last event that was seen.
import { useEffect, useRef, useState } from "react";
import { ApiError, call } from "../api/client";
import { stream } from "../api/sse";
import type { JournalEvent } from "../api/types";
import { FINAL } from "../state/fold";
import { Replay } from "../state/replay";
import type { Topology } from "../state/topology";
import { useVisible } from "../ui/clock";

const PAGE = 500;
const REST_MS = 2_000;

export function useJournal(id: string, topology: Topology | undefined) {
  const replay = useRef<Replay | null>(null);
  const [count, setCount] = useState(0);
  const [loaded, setLoaded] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const visible = useVisible();
  if (topology && replay.current?.topology !== topology) replay.current = new Replay(topology);

  useEffect(() => {
    if (!topology || !visible) return undefined;
    const stop = new AbortController();
    const rest = () => new Promise((resolve) => setTimeout(resolve, REST_MS));
    const follow = async () => {
      while (!stop.signal.aborted) {
        try {
          await read(id, replay.current!, stop.signal, setCount);
          setLoaded(true);
          setError(null);
          const ended = () => FINAL.has(replay.current!.at(replay.current!.events.length).status);
          if (ended()) return;
          await live(id, replay.current!, stop.signal, setCount);
          if (ended()) return;
        } catch (failed) {
          if (stop.signal.aborted) return;
          setError(failed);
          if (failed instanceof ApiError && failed.status >= 400 && failed.status < 500) return;
        }
        await rest();
      }
    };
    void follow();
    return () => stop.abort();
  }, [id, topology, visible]);

  return { replay: replay.current, count, loaded, error };
}

async function read(id: string, replay: Replay, signal: AbortSignal, told: (count: number) => void): Promise<void> {
  for (;;) {
    const page = await call<{ events: JournalEvent[]; next_after: number | null }>(`/invocations/v1/executions/${id}/events?after=${replay.seq}&limit=${PAGE}`, { signal });
    if (replay.extend(page.events)) told(replay.events.length);
    if (page.next_after === null || !page.events.length) return;
  }
}

async function live(id: string, replay: Replay, signal: AbortSignal, told: (count: number) => void): Promise<void> {
  const headers = { "last-event-id": String(replay.seq) };
  await stream(
    `/invocations/v1/executions/${id}/live`,
    (messages) => {
      if (replay.extend(messages.map((message) => JSON.parse(message.data) as JournalEvent))) told(replay.events.length);
    },
    { headers, signal },
  );
}
