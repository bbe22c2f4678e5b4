// One pause: what is asked, until when, what was said, and the form that answers it. The first answer wins; whoever comes
// second is told so.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { ApiError, call } from "../api/client";
import type { Json, Pause } from "../api/types";
import { brief, pretty } from "../state/json";
import { flaws, initial, type Flaw } from "../state/schema";
import { SchemaForm } from "../ui/form";
import { useNow } from "../ui/clock";
import { Moment, Problem } from "../ui/parts";

const OUTCOMES: Record<string, string> = {
  CANCEL: "the run is cancelled",
  FAIL: "the run fails",
  RESUME_WITH: "it goes on with a value of its own",
  ESCALATE: "the next person is asked",
  BRANCH: "its error branch is taken",
};

export function PauseCard({ pause, executionId }: { pause: Pause; executionId: string }) {
  const now = useNow();
  const { policy } = pause;
  return (
    <section className="card pad" aria-label={`Pause at ${pause.node}`} data-pause={pause.pause_id}>
      <div className="row">
        <h2>{pause.node}{pause.iteration.length > 0 && ` [${pause.iteration.join(", ")}]`}</h2>
        <span className={`chip ${pause.status === "open" ? "PAUSED" : pause.status === "answered" ? "COMPLETED" : ""}`}>{pause.status}</span>
        <span className="grow" />
        <span className="soft">asked <Moment at={pause.opened_at} now={now} />{pause.assignees.length > 0 && ` of ${pause.assignees.join(", ")}`}</span>
      </div>
      {pause.message !== null && <p>{typeof pause.message === "string" ? pause.message : <code>{brief(pause.message, 400)}</code>}</p>}
      {pause.status === "open" && pause.deadline && <p className="soft">Ends <Moment at={pause.deadline} now={now} />{policy.timeout_policy && `; then ${OUTCOMES[policy.timeout_policy] ?? policy.timeout_policy}`}</p>}
      {pause.quorum > 1 && <p className="soft">{pause.answers.length} of {pause.quorum} answers</p>}
      {pause.answers.map((answer, index) => <div key={index}><b>{answer.by ?? "someone"}</b> answered <Moment at={answer.at} now={now} />{answer.comment && `: ${answer.comment}`}<pre>{pretty(answer.input)}</pre></div>)}
      {pause.comments.map((comment, index) => <p key={index} className="soft">{comment.by ?? "someone"}: {comment.text}</p>)}
      {pause.status === "open" && <Answer pause={pause} executionId={executionId} />}
    </section>
  );
}

function Answer({ pause, executionId }: { pause: Pause; executionId: string }) {
  const client = useQueryClient();
  const [value, setValue] = useState<Json | undefined>(() => initial(pause.schema, pause.schema, true));
  const [comment, setComment] = useState("");
  const [shown, setShown] = useState<Flaw[]>([]);
  const answer = useMutation({
    mutationFn: () => call(`/invocations/v1/executions/${executionId}/pauses/${encodeURIComponent(pause.pause_id)}/resume`, { method: "POST", body: { input: value ?? null, ...(comment.trim() ? { comment: comment.trim() } : {}) } }),
    onError: (error) => {
      if (error instanceof ApiError) setShown(error.errors.map((one) => ({ path: one.path.replace(/^\/input/, ""), message: one.message })));
    },
    onSettled: () => Promise.all([client.invalidateQueries({ queryKey: ["pauses"] }), client.invalidateQueries({ queryKey: ["execution", executionId] })]),
  });
  const send = () => {
    const found = flaws(value, pause.schema, pause.schema);
    setShown(found);
    if (!found.length) answer.mutate();
  };
  return (
    <form className="form" onSubmit={(event) => { event.preventDefault(); send(); }}>
      <SchemaForm schema={pause.schema} root={pause.schema} value={value} change={setValue} flaws={shown} path="" label="Answer" />
      <div className="field">
        <label htmlFor={`comment-${pause.pause_id}`}>Comment<span className="soft"> (optional)</span></label>
        <input id={`comment-${pause.pause_id}`} value={comment} autoComplete="off" onChange={(event) => setComment(event.target.value)} />
      </div>
      {answer.error && <Problem error={answer.error} />}
      <div><button className="main" disabled={answer.isPending}>{answer.isPending ? "Answering…" : "Answer and go on"}</button></div>
    </form>
  );
}
