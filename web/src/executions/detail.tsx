// /executions/ID: what one run did, replayed on its graph. Everything here comes from the stored journal, so that it is the
// same picture after a reload, while it runs, and years later.
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useMemo, useState } from "react";
import { Link } from "wouter";
import { ApiError, call } from "../api/client";
import type { Artifact, Execution, Relative, Why } from "../api/types";
import { picture } from "../state/replay";
import { Topology } from "../state/topology";
import { duration, isFinal, shortId } from "../state/words";
import { Boundary } from "../ui/boundary";
import { useNow } from "../ui/clock";
import { Copy, Loading, Moment, Note, Problem, StatusChip, Tabs } from "../ui/parts";
import { Actions } from "./actions";
import { Branches } from "./branches";
import { Checkpoints } from "./checkpoints";
import { Events } from "./events";
import { useJournal } from "./journal";
import { PausesTab } from "../pauses/tab";
import { Output } from "./output";
import { Scrubber } from "./scrubber";
import { Timeline } from "./timeline";

const Canvas = lazy(() => import("../canvas/canvas").then((module) => ({ default: module.Canvas })));
const POLL_MS = 2_000;

export function ExecutionPage({ id }: { id: string }) {
  const run = useQuery({
    queryKey: ["execution", id],
    queryFn: () => call<Execution>(`/invocations/v1/executions/${id}`),
    refetchInterval: (query) => (query.state.data && isFinal(query.state.data.status) ? false : POLL_MS),
  });
  useEffect(() => void (document.title = `${run.data?.flow || "Execution"} ${id.slice(0, 8)} · Axiom`), [run.data?.flow, id]);
  if (run.error instanceof ApiError && run.error.status === 404) {
    return <Note title="There is no such execution" page><p>It was never started, or it was deleted when its time was over.</p><Link className="button" href="/executions">To the executions</Link></Note>;
  }
  if (!run.data) return run.error ? <div className="page"><Problem error={run.error} retry={() => void run.refetch()} /></div> : <Loading what="the execution" />;
  return <Run run={run.data} />;
}

function Run({ run }: { run: Execution }) {
  const client = useQueryClient();
  const artifact = useQuery({ queryKey: ["artifact", run.graph_id], queryFn: () => call<Artifact>(`/registry/v1/artifacts/${run.graph_id}`), staleTime: Infinity });
  const topology = useMemo(() => artifact.data && new Topology(artifact.data), [artifact.data]);
  const { replay, count, loaded, error } = useJournal(run.execution_id, topology);
  const [at, setAt] = useState<number | null>(null); // null: at the end, and with it as it grows
  const [tab, setTab] = useState(() => location.hash.slice(1) || "timeline");
  const [node, setNode] = useState<string | null>(null);
  useEffect(() => void client.invalidateQueries({ queryKey: ["execution", run.execution_id] }), [count, client, run.execution_id]);
  useEffect(() => history.replaceState(history.state, "", tab === "timeline" ? location.pathname : `#${tab}`), [tab]);

  const shown = at ?? count;
  const state = replay?.at(shown);
  const drawn = useMemo(() => (topology && state ? picture(topology, state) : undefined), [topology, state]);
  const events = replay?.events ?? [];
  const completed = useMemo(() => events.reduce((total, event) => total + (event.kind === "NodeCompleted" ? 1 : 0), 0), [count]);
  const tabs = [
    { id: "timeline", label: "Timeline" },
    { id: "events", label: "Events", count },
    { id: "checkpoints", label: "Checkpoints", count: completed },
    { id: "pauses", label: "Pauses" },
    { id: "branches", label: "Branches" },
    { id: "output", label: run.mode === "pipeline" ? "Frames" : "Output" },
  ];
  const chosen = tabs.some((one) => one.id === tab) ? tab : "timeline";
  const pane = () => {
    if (!replay || !loaded) return error ? <div className="pad"><Problem error={error} /></div> : <Loading what="the journal" />;
    if (chosen === "events") return <Events events={events} count={count} shown={shown} choose={setAt} node={node} setNode={setNode} />;
    if (chosen === "checkpoints") return <Checkpoints run={run} completed={completed} node={node} setNode={setNode} upTo={events[shown - 1]?.seq ?? 0} events={events} />;
    if (chosen === "pauses") return <PausesTab run={run} />;
    if (chosen === "branches") return <Branches run={run} setNode={setNode} />;
    if (chosen === "output") return <Output run={run} />;
    return <Timeline events={events} count={count} shown={shown} choose={setAt} node={node} />;
  };
  return (
    <div className="page">
      <Head run={run} held={replay?.at(count).held ?? false} answer={() => setTab("pauses")} />
      <div className="stack">
        <section className="card pane" aria-label="The run on its graph">
          <div className="stage">
            <Boundary what="The graph">
              {artifact.error ? <div className="pad"><Problem error={artifact.error} retry={() => void artifact.refetch()} /></div> : artifact.data && drawn ? (
                <Suspense fallback={<Loading what="the graph" />}>
                  <Canvas artifact={artifact.data} picture={drawn} chosen={node} choose={setNode} />
                </Suspense>
              ) : <Loading what="the graph" />}
            </Boundary>
          </div>
          <Scrubber events={events} count={count} at={at} choose={setAt} status={state?.status ?? run.status} live={!isFinal(run.status)} />
        </section>
        <section className="card pane" aria-label="Details">
          <Tabs tabs={tabs} chosen={chosen} choose={setTab} label="Details" />
          <div className="panel" role="tabpanel" id="panel" aria-labelledby={`tab-${chosen}`} tabIndex={0}>
            <Boundary what="This tab" key={chosen}>{pane()}</Boundary>
          </div>
        </section>
      </div>
    </div>
  );
}

function Head({ run, held, answer }: { run: Execution; held: boolean; answer: () => void }) {
  const now = useNow();
  const began = Date.parse(run.started_at ?? run.created_at);
  return (
    <header className="form">
      <div className="row">
        <h1>{run.flow ? <Link href={`/flows/${run.flow}`}>{run.flow}</Link> : "Execution"}</h1>
        <StatusChip status={run.status} />
        <span className="grow" />
        <Actions run={run} held={held} answer={answer} />
      </div>
      <dl className="facts">
        <div><dt>Execution</dt><dd className="mono">{run.execution_id} <Copy text={run.execution_id} /></dd></div>
        <div><dt>Started</dt><dd><Moment at={run.started_at ?? run.created_at} now={now} /></dd></div>
        <div><dt>Updated</dt><dd><Moment at={run.updated_at} now={now} /></dd></div>
        <div><dt>Completed</dt><dd><Moment at={run.completed_at} now={now} /></dd></div>
        <div><dt>Duration</dt><dd>{duration(run.duration_ms ?? now - began)}</dd></div>
        <div><dt>Mode</dt><dd>{run.mode === "pipeline" ? "⚡ Pipeline" : "Unary"}</dd></div>
        <div><dt>Artifact</dt><dd className="mono"><a href={`/registry/v1/artifacts/${run.graph_id}/docs`}>{run.graph_id.slice(0, 12)}…</a></dd></div>
      </dl>
      {run.error && <div className="problem"><div><code>{run.error.code}</code>{run.error.node && <> at <b>{run.error.node}</b></>}: {run.error.message}</div></div>}
      {!isFinal(run.status) && <WhyLine run={run} />}
      <Family run={run} />
    </header>
  );
}

/** What will move it next, or what is wrong. */
function WhyLine({ run }: { run: Execution }) {
  const why = useQuery({
    queryKey: ["why", run.execution_id, run.seq],
    queryFn: () => call<Why>(`/invocations/v1/executions/${run.execution_id}/why`),
    refetchInterval: 5_000,
    placeholderData: (before) => before,
  });
  return <p className="why" role="status">{why.data ? why.data.summary : " "}</p>;
}

/** The executions that this one came from, and those that came from it. */
function Family({ run }: { run: Execution }) {
  const link = (one: Relative) => <Link key={one.execution_id} className="mono" href={`/executions/${one.execution_id}`}>{shortId(one.execution_id)}</Link>;
  const groups: [string, Relative[]][] = [
    [run.origin?.kind === "restart" ? "Restart of" : "Fork of", run.origin ? [run.origin] : []],
    ["Subflow of", run.parent ? [run.parent] : []],
    ["Went on in", run.forks ?? []],
    ["Started", run.children ?? []],
  ];
  const shown = groups.filter(([, all]) => all.length);
  if (!shown.length) return null;
  return <div className="row soft">{shown.map(([words, all]) => <span key={words} className="row">{words} {all.slice(0, 12).map(link)}{all.length > 12 && `and ${all.length - 12} more`}</span>)}</div>;
}
