// The run's attempts as bars in time, one lane per node and iteration; a click goes to that moment.
import { useMemo, useRef, useState, useLayoutEffect } from "react";
import type { JournalEvent } from "../api/types";
import { bars, type Bar } from "../state/timeline";
import { duration, exact } from "../state/words";
import { useNow } from "../ui/clock";

const LANE = 24;
const SPARE = 10;

export function Timeline({ events, count, shown, choose, node }: { events: readonly JournalEvent[]; count: number; shown: number; choose: (at: number) => void; node: string | null }) {
  const now = useNow();
  const all = useMemo(() => bars(events.slice(0, count)), [events, count]);
  const lanes = useMemo(() => group(node ? all.filter((bar) => bar.node === node) : all), [all, node]);
  const [range, setRange] = useState({ from: 0, to: 60 });
  const box = useRef<HTMLDivElement>(null);
  const look = () => {
    if (!box.current) return;
    const { scrollTop, clientHeight } = box.current;
    setRange({ from: Math.max(0, Math.floor(scrollTop / LANE) - SPARE), to: Math.ceil((scrollTop + clientHeight) / LANE) + SPARE });
  };
  useLayoutEffect(look, [lanes.length]);

  const start = events[0] ? Date.parse(events[0].at) : now;
  const running = all.some((bar) => bar.end === null);
  const last = events[count - 1];
  const end = Math.max(start + 1, last ? Date.parse(last.at) : now, running ? now : 0);
  const part = (ms: number): string => `${(((ms - start) / (end - start)) * 100).toFixed(3)}%`;
  const moment = running && shown === count ? end : events[shown - 1] ? Date.parse(events[shown - 1]!.at) : end;
  if (!lanes.length) return <div className="note"><p>No node has started yet.</p></div>;
  const title = (bar: Bar) => `${bar.node}${bar.iteration.length ? ` [${bar.iteration.join(", ")}]` : ""}, attempt ${bar.attempt}, ${bar.outcome}, ${duration((bar.end ?? now) - bar.start)}, from ${exact(bar.start)}`;
  return (
    <>
      <div className="row pad soft"><span>{duration(end - start)} in all</span><span className="grow" /><span>{lanes.length === 1 ? "1 lane" : `${lanes.length} lanes`}{node ? ` of ${node}` : ""}</span></div>
      <div className="bars" ref={box} onScroll={look} tabIndex={0} role="group" aria-label="Attempts in time">
        <div style={{ height: lanes.length * LANE + 8 }} />
        {lanes.slice(range.from, range.to).map((lane, index) => (
          <div className="lane" key={lane.key} style={{ top: (range.from + index) * LANE }}>
            <span title={lane.key}>{lane.key}</span>
            <div className="track">
              {lane.bars.map((bar) => (
                <button type="button" key={`${bar.seq}`} className={`run ${bar.outcome}`} title={title(bar)} aria-label={title(bar)} style={{ left: part(bar.start), width: `max(3px, calc(${part(bar.end ?? now)} - ${part(bar.start)}))` }} onClick={() => choose(bar.seq)} />
              ))}
              <span className="now" style={{ left: part(moment) }} />
            </div>
          </div>
        ))}
      </div>
    </>
  );
}

function group(all: readonly Bar[]): { key: string; bars: Bar[] }[] {
  const lanes = new Map<string, Bar[]>();
  for (const bar of all) {
    const key = bar.iteration.length ? `${bar.node} [${bar.iteration.join(", ")}]` : bar.node;
    const lane = lanes.get(key);
    if (lane) lane.push(bar);
    else lanes.set(key, [bar]);
  }
  return [...lanes].map(([key, found]) => ({ key, bars: found }));
}
