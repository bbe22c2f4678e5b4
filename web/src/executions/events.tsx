// The journal, event by event, filterable by node; the chosen one in full.
import { useMemo, useState, type CSSProperties, type KeyboardEvent } from "react";
import type { JournalEvent, Json } from "../api/types";
import { duration, exact, told } from "../state/words";
import { JsonTree } from "../ui/json";
import { Virtual } from "../ui/virtual";

const ROW = 32;

export function Events({ events, count, shown, choose, node, setNode }: { events: readonly JournalEvent[]; count: number; shown: number; choose: (at: number) => void; node: string | null; setNode: (node: string | null) => void }) {
  const [failures, setFailures] = useState(false);
  const names = useMemo(() => [...new Set(events.flatMap((event) => (event.node ? [event.node] : [])))].sort(), [count]);
  const list = useMemo(() => events.slice(0, count).filter((event) => (!node || event.node === node) && (!failures || /Failed|Dropped|Lost|TakenOver|Cancelled/.test(event.kind))), [events, count, node, failures]);
  const current = events[shown - 1];
  const start = events[0] ? Date.parse(events[0].at) : 0;
  const keys = (event: KeyboardEvent) => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (!step) return;
    event.preventDefault();
    const at = list.findIndex((one) => one.seq >= (current?.seq ?? 1));
    const next = list[Math.max(0, Math.min(list.length - 1, (at < 0 ? list.length - 1 : at) + step))];
    if (next) choose(next.seq);
  };
  const line = (index: number, style: CSSProperties) => {
    const event = list[index]!;
    const now = event.seq === current?.seq;
    return (
      <div key={event.seq} className={`tr line events${now ? " on" : ""}${event.seq > (current?.seq ?? Infinity) ? " later" : ""}`} style={style} role="option" aria-selected={now} onClick={() => choose(event.seq)}>
        <span className="soft mono">{event.seq}</span>
        <time dateTime={event.at} title={exact(Date.parse(event.at))} className="soft">+{duration(Date.parse(event.at) - start)}</time>
        <span>{event.node ?? <span className="soft">run</span>}{event.iteration.length > 0 && <span className="soft"> [{event.iteration.join(", ")}]</span>}</span>
        <span title={told(event)}>{told(event)}</span>
      </div>
    );
  };
  return (
    <div className="table" onKeyDown={keys}>
      <div className="row pad">
        <label className="row soft">Node
          <select aria-label="Node" value={node ?? ""} onChange={(event) => setNode(event.target.value || null)}>
            <option value="">all</option>
            {names.map((name) => <option key={name}>{name}</option>)}
          </select>
        </label>
        <label className="row soft"><input type="checkbox" checked={failures} onChange={(event) => setFailures(event.target.checked)} /> Trouble only</label>
        <span className="grow" />
        <span className="soft">{list.length.toLocaleString("en")} of {count.toLocaleString("en")}</span>
      </div>
      <div className="halves">
        {list.length ? <Virtual count={list.length} height={ROW} label="Events" role="listbox" show={current ? list.findIndex((one) => one.seq === current.seq) : undefined} row={line} /> : <div className="note"><p>No event is like that.</p></div>}
        <aside className="pad" aria-label="The event">
          {current && (
            <>
              <h2>Event {current.seq}: {current.kind}</h2>
              <JsonTree key={current.seq} value={current as unknown as Json} name={`event ${current.seq}`} />
            </>
          )}
        </aside>
      </div>
    </div>
  );
}
