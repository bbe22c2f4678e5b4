// What nodes completed with: the record that a replacement worker goes on from. One is shown in full, as a tree, or as its
// difference from another.
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { call } from "../api/client";
import type { Checkpoint, Execution, JournalEvent } from "../api/types";
import { brief, changes, pretty } from "../state/json";
import { duration } from "../state/words";
import { JsonTree } from "../ui/json";
import { Loading, Problem } from "../ui/parts";

export function Checkpoints({ run, completed, node, setNode, upTo, events }: { run: Execution; completed: number; node: string | null; setNode: (node: string | null) => void; upTo: number; events: readonly JournalEvent[] }) {
  const [picked, setPicked] = useState<number | null>(null);
  const [other, setOther] = useState<number | null>(null);
  const all = useMemo(() => events.filter((event) => event.kind === "NodeCompleted" && (!node || event.node === node)), [completed, node]);
  const passed = all.filter((event) => event.seq <= upTo);
  const current = all.find((event) => event.seq === picked) ?? passed.at(-1) ?? all[0];
  const names = useMemo(() => [...new Set(events.flatMap((event) => (event.kind === "NodeCompleted" && event.node ? [event.node] : [])))].sort(), [completed]);
  if (!names.length) return <div className="note"><p>No node has completed yet.</p></div>;
  const name = (event: JournalEvent) => `${event.node}${event.iteration.length ? ` [${event.iteration.join(", ")}]` : ""} · event ${event.seq}`;
  const options = all.slice(-500).map((event) => <option key={event.seq} value={event.seq}>{name(event)}</option>);
  return (
    <div className="pad">
      <div className="row">
        <label className="row soft">Node
          <select aria-label="Node" value={node ?? ""} onChange={(event) => { setNode(event.target.value || null); setPicked(null); setOther(null); }}>
            <option value="">all</option>
            {names.map((one) => <option key={one}>{one}</option>)}
          </select>
        </label>
        <label className="row soft">Checkpoint <select aria-label="Checkpoint" value={current?.seq ?? ""} onChange={(event) => setPicked(Number(event.target.value))}>{options}</select></label>
        <label className="row soft">Compare with
          <select aria-label="Compare with" value={other ?? ""} onChange={(event) => setOther(event.target.value ? Number(event.target.value) : null)}>
            <option value="">nothing</option>
            {options}
          </select>
        </label>
      </div>
      {current && <One key={current.seq} run={run} event={current} />}
      {current && other !== null && <Difference run={run} before={other} after={current.seq} />}
    </div>
  );
}

function useCheckpoint(run: Execution, seq: number) {
  return useQuery({
    queryKey: ["checkpoint", run.execution_id, seq],
    queryFn: async () => (await call<{ checkpoints: Checkpoint[] }>(`/invocations/v1/executions/${run.execution_id}/checkpoints?after=${seq - 1}&limit=1`)).checkpoints[0]!,
    staleTime: Infinity,
  });
}

function One({ run, event }: { run: Execution; event: JournalEvent }) {
  const checkpoint = useCheckpoint(run, event.seq);
  if (checkpoint.error) return <Problem error={checkpoint.error} retry={() => void checkpoint.refetch()} />;
  if (!checkpoint.data) return <Loading what="the checkpoint" />;
  const { output, attempt, duration_ms } = checkpoint.data;
  return (
    <>
      <p className="soft">Attempt {attempt}{duration_ms === null ? "" : `, ${duration(duration_ms)}`}</p>
      <JsonTree value={output} name={`output of ${event.node}`} />
    </>
  );
}

function Difference({ run, before, after }: { run: Execution; before: number; after: number }) {
  const [one, two] = [useCheckpoint(run, before), useCheckpoint(run, after)];
  if (!one.data || !two.data) return <Loading what="the other checkpoint" />;
  const found = changes(one.data.output, two.data.output);
  return (
    <section aria-label="Difference">
      <h2>From {one.data.node} (event {before})</h2>
      {!found.length && <p className="soft">They are the same.</p>}
      <div className="changes">
        {found.slice(0, 500).map((change, index) => (
          <div key={index} className={change.kind} title={pretty(change.after ?? change.before)}>
            {change.kind === "added" ? "+" : change.kind === "removed" ? "−" : "~"} {change.path}: {change.before !== undefined && brief(change.before)}{change.kind === "changed" && " → "}{change.after !== undefined && brief(change.after)}
          </div>
        ))}
        {found.length > 500 && <div className="soft">{found.length - 500} more</div>}
      </div>
    </section>
  );
}
