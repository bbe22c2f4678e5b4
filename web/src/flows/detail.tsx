// /flows/NAME: the graph of a flow with its YAML beside it, the versions that its name had, and Run.
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useState } from "react";
import { Link, useLocation, useSearch } from "wouter";
import { ApiError, call } from "../api/client";
import type { Alias, Artifact } from "../api/types";
import { pretty } from "../state/json";
import { RunDialog } from "../run/dialog";
import { Boundary } from "../ui/boundary";
import { useNow } from "../ui/clock";
import { Copy, Loading, Moment, Note, Problem, Tabs } from "../ui/parts";

const Canvas = lazy(() => import("../canvas/canvas").then((module) => ({ default: module.Canvas })));
const TABS = [
  { id: "yaml", label: "YAML" },
  { id: "messages", label: "Input and output" },
  { id: "versions", label: "Versions" },
];

export function FlowPage({ name }: { name: string }) {
  const alias = useQuery({ queryKey: ["alias", name], queryFn: () => call<Alias>(`/registry/v1/aliases/${name}`), refetchInterval: 5_000 });
  const wanted = new URLSearchParams(useSearch()).get("graph_id") ?? alias.data?.graph_id;
  const artifact = useQuery({ queryKey: ["artifact", wanted], queryFn: () => call<Artifact>(`/registry/v1/artifacts/${wanted}`), enabled: Boolean(wanted), staleTime: Infinity, placeholderData: (before) => before });
  useEffect(() => void (document.title = `${name} · Axiom`), [name]);
  if (alias.error instanceof ApiError && alias.error.status === 404) {
    return <Note title={`There is no flow ${name}`} page><p>Compile it, and give it this name.</p><Link className="button" href="/flows">To the flows</Link></Note>;
  }
  const error = alias.error ?? artifact.error;
  if (!alias.data || !artifact.data) return error ? <div className="page"><Problem error={error} retry={() => { void alias.refetch(); void artifact.refetch(); }} /></div> : <Loading what="the flow" />;
  return <Flow alias={alias.data} artifact={artifact.data} />;
}

function Flow({ alias, artifact }: { alias: Alias; artifact: Artifact }) {
  const [place, go] = useLocation();
  const [running, setRunning] = useState(false);
  const [node, setNode] = useState<string | null>(null);
  const [tab, setTab] = useState("yaml");
  const current = artifact.graph_id === alias.graph_id;
  return (
    <div className="page">
      <header className="form">
        <div className="row">
          <h1>{alias.name}</h1>
          <span className="chip">{artifact.mode === "pipeline" ? "⚡ Pipeline" : "Unary"}</span>
          {!current && <span className="chip PAUSED">an earlier version</span>}
          <span className="grow" />
          <Link className="button" href={`/executions?flow=${encodeURIComponent(alias.name)}`}>Executions</Link>
          <a className="button" href={`/registry/v1/artifacts/${artifact.graph_id}/docs`}>Use via API</a>
          <button className="main" onClick={() => setRunning(true)}>▶ Run</button>
        </div>
        {artifact.description && <p className="soft">{artifact.description}</p>}
        <p className="soft mono">{artifact.graph_id} <Copy text={artifact.graph_id} /></p>
      </header>
      <div className="split">
        <section className="card pane" aria-label="The graph">
          <div className="stage">
            <Boundary what="The graph"><Suspense fallback={<Loading what="the graph" />}><Canvas key={artifact.graph_id} artifact={artifact} chosen={node} choose={setNode} /></Suspense></Boundary>
          </div>
        </section>
        <section className="card pane" aria-label="Details">
          <Tabs tabs={TABS} chosen={tab} choose={setTab} label="Details" />
          <div className="panel" role="tabpanel" id="panel" aria-labelledby={`tab-${tab}`} tabIndex={0}>
            {tab === "yaml" && (artifact.source ? <pre className="yaml">{artifact.source}</pre> : <div className="note"><p>This one was not compiled from YAML.</p></div>)}
            {tab === "messages" && <div className="pad"><h2>Input</h2><pre>{pretty(artifact.input)}</pre><h2>Output</h2><pre>{pretty(artifact.output)}</pre></div>}
            {tab === "versions" && <Versions alias={alias} shown={artifact.graph_id} open={(graph) => go(graph === alias.graph_id ? place : `${place}?graph_id=${graph}`)} />}
          </div>
        </section>
      </div>
      {running && <RunDialog artifact={artifact} close={() => setRunning(false)} />}
    </div>
  );
}

function Versions({ alias, shown, open }: { alias: Alias; shown: string; open: (graph: string) => void }) {
  const now = useNow(5_000);
  return (
    <table>
      <thead><tr><th scope="col">Version</th><th scope="col">Moved</th><th scope="col">By</th><th scope="col">Artifact</th></tr></thead>
      <tbody>
        {[...(alias.history ?? [])].reverse().map((move) => (
          <tr key={move.version}>
            <td>{move.version}{move.version === alias.version && <span className="soft"> now</span>}</td>
            <td><Moment at={move.at} now={now} /></td>
            <td>{move.by}{move.reason && <span className="soft"> {move.reason}</span>}</td>
            <td className="mono">{move.graph_id === shown ? <>{move.graph_id.slice(0, 12)}… <span className="soft">shown</span></> : <button className="plain small mono" onClick={() => open(move.graph_id)}>{move.graph_id.slice(0, 12)}…</button>}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
