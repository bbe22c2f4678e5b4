// What can be done with one run: cancel it, hold it and let it go on, restart what failed. What a restart would do is shown
// before it is done.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useLocation } from "wouter";
import { call } from "../api/client";
import type { Execution, ForkPlan } from "../api/types";
import { isFinal, plural } from "../state/words";
import { Dialog, Loading, Problem } from "../ui/parts";

type Asked = "cancel" | "hold" | "restart" | null;

export function Actions({ run, held, answer }: { run: Execution; held: boolean; answer: () => void }) {
  const [asked, setAsked] = useState<Asked>(null);
  const close = () => setAsked(null);
  return (
    <>
      {run.status === "PAUSED" && !held && <button className="main" onClick={answer}>Answer</button>}
      {held && <GoOn run={run} />}
      {!isFinal(run.status) && !held && run.status !== "COMPENSATING" && <button onClick={() => setAsked("hold")}>Hold</button>}
      {!isFinal(run.status) && <button className="danger" onClick={() => setAsked("cancel")}>Cancel</button>}
      {(run.status === "FAILED" || run.status === "CANCELLED") && <button onClick={() => setAsked("restart")}>Restart</button>}
      {asked === "cancel" && <Sure run={run} close={close} title="Cancel this execution?" no="Keep it running" yes="Cancel the execution" method="DELETE" path={`/invocations/v1/flows/${run.execution_id}`} danger text="It stops at once, also inside a node that runs. What has completed stays recorded." />}
      {asked === "hold" && <Sure run={run} close={close} title="Hold this execution?" no="Let it run" yes="Hold the execution" method="POST" path={`/invocations/v1/executions/${run.execution_id}/pause`} text="What runs finishes; nothing new starts until somebody lets it go on." />}
      {asked === "restart" && <Restart run={run} close={close} />}
    </>
  );
}

/** Do something to a run, and look at it again. */
function useDo(run: Execution, method: "POST" | "DELETE", path: string, done?: () => void) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => call(path, { method, ...(method === "POST" ? { body: {} } : {}) }),
    onSuccess: async () => {
      done?.();
      await client.invalidateQueries({ queryKey: ["execution", run.execution_id] });
    },
  });
}

function Sure({ run, close, title, text, yes, no, method, path, danger = false }: { run: Execution; close: () => void; title: string; text: string; yes: string; no: string; method: "POST" | "DELETE"; path: string; danger?: boolean }) {
  const act = useDo(run, method, path, close);
  return (
    <Dialog title={title} close={close} footer={<><button onClick={close}>{no}</button><button className={danger ? "danger" : "main"} disabled={act.isPending} onClick={() => act.mutate()}>{yes}</button></>}>
      <p>{text}</p>
      {act.error && <Problem error={act.error} />}
    </Dialog>
  );
}

function GoOn({ run }: { run: Execution }) {
  const act = useDo(run, "POST", `/invocations/v1/executions/${run.execution_id}/resume`);
  return <><button className="main" disabled={act.isPending} onClick={() => act.mutate()}>Go on</button>{act.error && <Problem error={act.error} />}</>;
}

const names = (nodes: { node: string; iteration: number[] }[]): string => nodes.slice(0, 30).map((one) => (one.iteration.length ? `${one.node} [${one.iteration.join(", ")}]` : one.node)).join(", ") + (nodes.length > 30 ? ", …" : "");

function Restart({ run, close }: { run: Execution; close: () => void }) {
  const [, go] = useLocation();
  const path = `/invocations/v1/executions/${run.execution_id}/restart`;
  const plan = useQuery({ queryKey: ["restart", run.execution_id], queryFn: () => call<ForkPlan>(`${path}?plan=true`, { method: "POST", body: {} }) });
  const start = useMutation({ mutationFn: () => call<{ execution_id: string }>(path, { method: "POST", body: {} }), onSuccess: (made) => go(`/executions/${made.execution_id}`) });
  return (
    <Dialog title="Restart from where it failed?" close={close} footer={<><button onClick={close}>Not now</button><button className="main" disabled={!plan.data || start.isPending} onClick={() => start.mutate()}>Restart</button></>}>
      {plan.error ? <Problem error={plan.error} /> : !plan.data ? <Loading what="the plan" /> : (
        <>
          <p>A new execution keeps {plural(plan.data.reused.length, "outcome")}{plan.data.reused.length > 0 && `: ${names(plan.data.reused)}`}.</p>
          <p>It starts at {names(plan.data.starts) || "the end"}.</p>
          {plan.data.effects.length > 0 && <p>These had begun and begin again: {names(plan.data.effects)}. {plan.data.effects.every((one) => one.counts_once) ? "Their effects keep their idempotency keys, so they count once." : "Not all of their effects are known to count once."}</p>}
        </>
      )}
      {start.error && <Problem error={start.error} />}
    </Dialog>
  );
}
