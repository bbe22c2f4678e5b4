// The way along the run: a slider over its events, one step per event. At the end it goes along with a live run.
import { useEffect, useState } from "react";
import type { JournalEvent, Status } from "../api/types";
import { duration, STATUS_WORDS } from "../state/words";

const STEP_MS = 350;

export function Scrubber({ events, count, at, choose, status, live }: { events: readonly JournalEvent[]; count: number; at: number | null; choose: (at: number | null) => void; status: Status; live: boolean }) {
  const [playing, setPlaying] = useState(false);
  const shown = at ?? count;
  const event = events[shown - 1];
  const since = event && events[0] ? Date.parse(event.at) - Date.parse(events[0].at) : 0;
  const go = (to: number) => choose(to >= count ? null : Math.max(1, to));

  useEffect(() => {
    if (!playing) return undefined;
    if (shown >= count) {
      setPlaying(false);
      return undefined;
    }
    const timer = setTimeout(() => go(shown + Math.max(1, Math.round(count / 200))), STEP_MS);
    return () => clearTimeout(timer);
  }, [playing, shown, count]);

  const play = () => {
    if (!playing && shown >= count) choose(1);
    setPlaying(!playing);
  };
  return (
    <div className="scrub" role="group" aria-label="Moment of the run">
      <button className="small" onClick={play} disabled={count < 2} aria-label={playing ? "Stop" : "Play the run back"}>{playing ? "❚❚" : "▶"}</button>
      <button className="plain small" onClick={() => go(shown - 1)} disabled={shown <= 1} aria-label="One event back">◂</button>
      <input type="range" aria-label="Event" min={1} max={Math.max(1, count)} value={shown} aria-valuetext={event ? `event ${shown} of ${count}, ${STATUS_WORDS[status]}` : "no event"} onChange={(input) => go(Number(input.target.value))} />
      <button className="plain small" onClick={() => go(shown + 1)} disabled={shown >= count} aria-label="One event on">▸</button>
      <span className="where" data-shown={shown}>{at === null && live ? "live · " : ""}{shown} / {count} · {duration(since)}</span>
    </div>
  );
}
