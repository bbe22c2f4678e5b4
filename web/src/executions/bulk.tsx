// Cancel or restart everything that the filters match: counted first, then done bite by bite, and stopped when asked to.
import { useQuery } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { call } from "../api/client";
import { STATUSES, type Json } from "../api/types";
import { asked, type Filters } from "../state/filters";
import { isFinal, plural } from "../state/words";
import { Dialog, Loading, Problem } from "../ui/parts";

type Action = "cancel" | "restart";
interface Counted {
  count: number;
  more: boolean;
}
interface Bite {
  done: { execution_id: string }[];
  refused: { execution_id: string; code: string; detail: string }[];
  next_cursor: string | null;
}

const PATH = "/invocations/v1/executions/bulk";

/** The filters as the call takes them; without a status, those that the action can do something to. */
export function filterOf(filters: Filters, action: Action): { [name: string]: Json } {
  const { status: _, ...rest } = asked(filters);
  const fitting = STATUSES.filter((one) => (action === "cancel" ? !isFinal(one) : one === "FAILED" || one === "CANCELLED"));
  const status = (filters.status.length ? filters.status : STATUSES).filter((one) => fitting.includes(one));
  return { status, ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== "")) };
}

export function BulkDialog({ filters, close }: { filters: Filters; close: () => void }) {
  const [action, setAction] = useState<Action>("cancel");
  const [told, setTold] = useState<{ done: number; refused: number; running: boolean } | null>(null);
  const [error, setError] = useState<unknown>(null);
  const stopped = useRef(false);
  const filter = filterOf(filters, action);
  const nothing = (filter.status as Json[]).length === 0;
  const count = useQuery({ queryKey: ["bulk", action, filter], queryFn: () => call<Counted>(PATH, { method: "POST", body: { action, filter, dry_run: true } }), enabled: !nothing && told === null });
  const run = async () => {
    stopped.current = false;
    setError(null);
    let [done, refused, cursor] = [0, 0, null as string | null];
    try {
      do {
        setTold({ done, refused, running: true });
        const bite: Bite = await call<Bite>(PATH, { method: "POST", body: { action, filter, ...(cursor ? { cursor } : {}) } });
        done += bite.done.length;
        refused += bite.refused.length;
        cursor = bite.next_cursor;
      } while (cursor !== null && !stopped.current);
    } catch (failed) {
      setError(failed);
    }
    setTold({ done, refused, running: false });
  };
  const leave = () => {
    stopped.current = true;
    close();
  };
  const total = count.data ? `${count.data.count.toLocaleString("en")}${count.data.more ? " or more" : ""}` : "";
  return (
    <Dialog
      title="All that match the filters"
      close={leave}
      footer={<><button onClick={leave}>Close</button>{told?.running ? <button onClick={() => (stopped.current = true)}>Stop</button> : <button className={action === "cancel" ? "danger" : "main"} disabled={nothing || told !== null || !count.data?.count} onClick={() => void run()}>{action === "cancel" ? "Cancel them" : "Restart them"}</button>}</>}
    >
      <div className="row" role="group" aria-label="What to do">
        {(["cancel", "restart"] as const).map((one) => <button key={one} className="toggle" disabled={told !== null} aria-pressed={action === one} onClick={() => setAction(one)}>{one === "cancel" ? "Cancel" : "Restart"}</button>)}
      </div>
      {nothing && <p>None of the chosen statuses can be {action === "cancel" ? "cancelled: those have ended" : "restarted: only what failed or was cancelled can"}.</p>}
      {!nothing && told === null && (count.error ? <Problem error={count.error} /> : count.data ? <p><b>{total}</b> would be {action === "cancel" ? "cancelled" : "restarted"}.</p> : <Loading what="the count" />)}
      {told && <p role="status">{told.running ? "Working: " : "Done: "}{plural(told.done, "execution")} {action === "cancel" ? "cancelled" : "restarted"}{told.refused > 0 && `, ${told.refused} refused`}.</p>}
      {error !== null && <Problem error={error} />}
    </Dialog>
  );
}
