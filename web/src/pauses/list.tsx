// /pauses: everything that waits for a person, and its answer.
import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Link } from "wouter";
import { call } from "../api/client";
import type { Pause } from "../api/types";
import { brief } from "../state/json";
import { useNow } from "../ui/clock";
import { Dialog, Loading, Moment, Note, Problem } from "../ui/parts";
import { PauseCard } from "./answer";

interface Page {
  pauses: (Pause & { execution_id: string; flow: string })[];
  next_cursor: string | null;
}

const keyOf = (pause: { execution_id: string; pause_id: string }) => `${pause.execution_id}/${pause.pause_id}`;

export function PausesPage() {
  const now = useNow();
  const [chosen, setChosen] = useState<string | null>(null);
  const list = useInfiniteQuery({
    queryKey: ["pauses"],
    initialPageParam: "",
    queryFn: ({ pageParam }) => call<Page>(`/invocations/v1/pauses?limit=100${pageParam ? `&cursor=${encodeURIComponent(pageParam)}` : ""}`),
    getNextPageParam: (last) => last.next_cursor,
    refetchInterval: 3_000,
  });
  const all = list.data?.pages.flatMap((page) => page.pauses) ?? [];
  useEffect(() => void (document.title = `${all.length ? `(${all.length}) ` : ""}Pauses · Axiom`), [all.length]);
  const open = all.find((pause) => keyOf(pause) === chosen);
  const body = () => {
    if (!list.data) return list.error ? <Problem error={list.error} retry={() => void list.refetch()} /> : <Loading what="what waits for people" />;
    if (!all.length) return <Note title="Nothing waits for a person"><p>A node with <code>hitl</code> in its configuration waits here until somebody answers.</p></Note>;
    return (
      <div className="card">
        <table className="cards">
          <thead><tr><th scope="col">Asked</th><th scope="col">Ends</th><th scope="col">Flow</th><th scope="col">Node</th><th scope="col">Question</th><th scope="col"><span className="hidden">Answer</span></th></tr></thead>
          <tbody>
            {all.map((pause) => (
              <tr key={keyOf(pause)} data-pause={keyOf(pause)}>
                <td><Moment at={pause.opened_at} now={now} /></td>
                <td>{pause.deadline ? <Moment at={pause.deadline} now={now} /> : <span className="soft">never</span>}</td>
                <td><Link href={`/executions/${pause.execution_id}#pauses`}>{pause.flow}</Link></td>
                <td>{pause.node}</td>
                <td className="wide">{typeof pause.message === "string" ? pause.message : brief(pause.message)}</td>
                <td><button className="small" onClick={() => setChosen(keyOf(pause))}>Answer</button></td>
              </tr>
            ))}
          </tbody>
        </table>
        {list.hasNextPage && <div className="foot"><button className="small" onClick={() => void list.fetchNextPage()}>More</button></div>}
      </div>
    );
  };
  return (
    <div className="page">
      <h1>Pauses</h1>
      {body()}
      {open && <Dialog title={open.flow} close={() => setChosen(null)} extra={<Link href={`/executions/${open.execution_id}#pauses`}>Execution</Link>}><PauseCard pause={open} executionId={open.execution_id} /></Dialog>}
    </div>
  );
}
