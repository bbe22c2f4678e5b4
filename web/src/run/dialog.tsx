// The Run dialog: the entry message as a form or as JSON (one value, two views), and what comes of it.
import { useEffect, useRef, useState } from "react";
import { Link } from "wouter";
import { ApiError } from "../api/client";
import type { Artifact, Json } from "../api/types";
import { brief, parseJson, pretty } from "../state/json";
import { flaws, initial, type Flaw } from "../state/schema";
import { SchemaForm } from "../ui/form";
import { JsonTree } from "../ui/json";
import { Copy, Dialog, Problem, Tabs } from "../ui/parts";
import { runPipeline, runUnary, type Progress } from "./runs";

export const MODE_WORDS = { unary: "Unary — single request / response", pipeline: "⚡ Pipeline — streams multiple frames via SSE" } as const;
const VIEWS = [
  { id: "form", label: "Form" },
  { id: "json", label: "JSON" },
];

export function RunDialog({ artifact, close }: { artifact: Artifact; close: () => void }) {
  const [view, setView] = useState("form");
  const [value, setValue] = useState<Json | undefined>(() => initial(artifact.input, artifact.input, true));
  const [typed, setTyped] = useState<string | null>(null);
  const [shown, setShown] = useState<Flaw[]>([]);
  const [progress, setProgress] = useState<Progress | null>(null);
  const [busy, setBusy] = useState(false);
  const stop = useRef(new AbortController());
  useEffect(() => {
    stop.current = new AbortController();
    return () => stop.current.abort();
  }, []);

  const parsed = typed === null ? null : parseJson(typed);
  const broken = parsed !== null && "error" in parsed ? parsed.error : null;
  const turn = (next: string) => {
    if (next === "form" && broken) return;
    setTyped(next === "json" ? pretty(value) : null);
    setView(next);
  };
  const run = async () => {
    const found = flaws(value, artifact.input, artifact.input);
    setShown(found);
    if (found.length || broken) return;
    setBusy(true);
    setProgress({});
    const told = (next: Progress) => !stop.current.signal.aborted && setProgress((old) => ({ ...old, ...next }));
    try {
      await (artifact.mode === "pipeline" ? runPipeline : runUnary)(artifact, value!, told, stop.current.signal);
    } catch (error) {
      if (stop.current.signal.aborted) return;
      if (error instanceof ApiError && error.errors.length) setShown(error.errors.map((one) => ({ path: one.path.replace(/^\/input/, ""), message: one.message })));
      setProgress((old) => ({ ...old, error }));
    } finally {
      setBusy(false);
    }
  };
  const keys = (event: React.KeyboardEvent) => {
    if (event.key === "Enter" && (event.metaKey || event.ctrlKey) && !busy) void run();
  };
  return (
    <Dialog
      title="Run Graph"
      close={close}
      footer={<><Copy text={() => curl(artifact, value)} label="Copy as curl" /><span className="grow" /><button onClick={close}>Close</button><button className="main" onClick={() => void run()} disabled={busy || broken !== null} title="Ctrl+Enter">{busy ? "Running…" : "▶ Run"}</button></>}
    >
      <div className="form" onKeyDown={keys}>
        <p><b>{MODE_WORDS[artifact.mode]}</b></p>
        <Tabs tabs={VIEWS} chosen={view} choose={turn} label="Input as" />
        <div id="panel" role="tabpanel" aria-labelledby={`tab-${view}`}>
          {view === "form" ? (
            <SchemaForm schema={artifact.input} root={artifact.input} value={value} change={setValue} flaws={shown} path="" label="Input" />
          ) : (
            <div className="field">
              <label htmlFor="input-json">Input</label>
              <textarea id="input-json" rows={10} spellCheck={false} value={typed ?? ""} aria-invalid={broken ? true : undefined} onChange={(event) => { setTyped(event.target.value); const now = parseJson(event.target.value); if ("value" in now) setValue(now.value); }} />
              {broken && <span className="flaw" role="alert">{broken}</span>}
            </div>
          )}
        </div>
        {shown.length > 0 && <div className="problem" role="alert">{shown.slice(0, 10).map((flaw, index) => <div key={index}><code>{flaw.path || "input"}</code> {flaw.message}</div>)}</div>}
      </div>
      {progress && <Outcome progress={progress} busy={busy} pipeline={artifact.mode === "pipeline"} shown={shown.length > 0} />}
    </Dialog>
  );
}

function Outcome({ progress, busy, pipeline, shown }: { progress: Progress; busy: boolean; pipeline: boolean; shown: boolean }) {
  const { executionId, frames, result, error } = progress;
  return (
    <section className="form" aria-label="What came of it" aria-live="polite">
      {executionId && <p>Execution <Link className="mono" href={`/executions/${executionId}`}>{executionId}</Link>{result ? (result.success ? " completed." : " failed.") : busy ? " runs…" : " goes on; its page shows the rest."}</p>}
      {pipeline && frames && <FrameList frames={frames.map((frame) => frame.payload ?? null)} />}
      {result && !result.success && <div className="problem"><div><code>{result.error?.code}</code>{result.error?.node && <> at <b>{result.error.node}</b></>}: {result.error?.message}</div></div>}
      {result?.success && !pipeline && <JsonTree value={result.output ?? null} name="result" />}
      {error !== undefined && !shown && <Problem error={error} />}
    </section>
  );
}

const FRAMES_SHOWN = 300;

function FrameList({ frames }: { frames: Json[] }) {
  const from = Math.max(0, frames.length - FRAMES_SHOWN);
  return (
    <div className="frames" role="log" aria-label="Frames" tabIndex={0}>
      {from > 0 && <div className="soft">{from} earlier frames</div>}
      {frames.slice(from).map((frame, index) => <div key={from + index}><span className="index">{from + index}</span><span>{brief(frame, 400)}</span></div>)}
    </div>
  );
}

/** The same run as a line for a shell; quotes are safe in it. */
export function curl(artifact: Artifact, value: Json | undefined): string {
  const quoted = (text: string) => `'${text.replace(/'/g, `'\\''`)}'`;
  const pipeline = artifact.mode === "pipeline";
  const body = { graph_id: artifact.graph_id, input: value ?? {}, ...(pipeline ? {} : { wait: true }) };
  return [
    `curl ${pipeline ? "-N " : ""}-X POST ${quoted(`${location.origin}/invocations/v1/flows/invoke${pipeline ? "/stream" : ""}`)}`,
    `-H "Authorization: Bearer $AXIOM_API_KEY"`,
    `-H 'Content-Type: application/json'`,
    `-d ${quoted(JSON.stringify(body))}`,
  ].join(" \\\n  ");
}
