// What came out: the result, the failure, or the frames of a pipeline run.
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { call } from "../api/client";
import type { Execution, Json, Result } from "../api/types";
import { brief, pretty } from "../state/json";
import { isFinal } from "../state/words";
import { JsonTree } from "../ui/json";
import { Copy, Loading, Problem } from "../ui/parts";

export function Output({ run }: { run: Execution }) {
  return run.mode === "pipeline" ? <Frames run={run} /> : <Value run={run} />;
}

function Value({ run }: { run: Execution }) {
  const ended = isFinal(run.status);
  const result = useQuery({ queryKey: ["output", run.execution_id], queryFn: () => call<Result>(`/invocations/v1/executions/${run.execution_id}/output`), enabled: ended, staleTime: Infinity });
  if (!ended) return <div className="note"><p>There is no output yet: the run goes on.</p></div>;
  if (result.error) return <div className="pad"><Problem error={result.error} retry={() => void result.refetch()} /></div>;
  if (!result.data) return <Loading what="the output" />;
  const { success, output, error } = result.data;
  return <div className="pad">{success ? <JsonTree value={output ?? null} name="output" /> : <div className="problem"><div><code>{error?.code}</code>{error?.node && <> at <b>{error.node}</b></>}: {error?.message}</div></div>}</div>;
}

interface Page {
  frames: { frame_index: number; payload: Json }[];
  next_after: number | null;
}

function Frames({ run }: { run: Execution }) {
  const ended = isFinal(run.status);
  const frames = useInfiniteQuery({
    queryKey: ["frames", run.execution_id, run.frames, ended],
    initialPageParam: -1,
    queryFn: ({ pageParam }) => call<Page>(`/invocations/v1/executions/${run.execution_id}/frames?after=${pageParam}&limit=200`),
    getNextPageParam: (last) => (last.frames.length ? last.next_after : null),
    placeholderData: (before) => before,
  });
  if (frames.error) return <div className="pad"><Problem error={frames.error} retry={() => void frames.refetch()} /></div>;
  if (!frames.data) return <Loading what="the frames" />;
  const all = frames.data.pages.flatMap((page) => page.frames);
  return (
    <div className="pad">
      <div className="row"><span className="soft">{all.length.toLocaleString("en")} frames{ended ? "" : " so far"}</span><Copy label="Copy as JSON lines" text={() => all.map((frame) => JSON.stringify(frame.payload)).join("\n")} /></div>
      {run.error && <div className="problem"><div><code>{run.error.code}</code>: {run.error.message}</div></div>}
      {all.length > 0 && <div className="frames" role="list" aria-label="Frames" tabIndex={0}>{all.map((frame) => <div key={frame.frame_index} role="listitem"><span className="index">{frame.frame_index}</span><span title={pretty(frame.payload)}>{brief(frame.payload, 400)}</span></div>)}</div>}
      {frames.hasNextPage && <div><button onClick={() => void frames.fetchNextPage()} disabled={frames.isFetchingNextPage}>More frames</button></div>}
    </div>
  );
}
