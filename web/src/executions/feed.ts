// What keeps a list of executions true while it is looked at: the top is asked for every two seconds, rows further down
// that may still change are asked for by themselves, and the next page when somebody comes near the end.
import { useCallback, useEffect, useRef, useState } from "react";
import { call, query } from "../api/client";
import type { Execution } from "../api/types";
import { asked, type Filters } from "../state/filters";
import { append, merge, NO_ROWS, release, restless, update, type Page, type Rows } from "../state/rows";
import type { Window } from "../ui/virtual";
import { useVisible } from "../ui/clock";

const POLL_MS = 2_000;
const TOP = 100;
const PAGE = 500;
const SINGLES = 8;

export function useFeed(filters: Filters) {
  const [list, setList] = useState<Rows>(NO_ROWS);
  const [error, setError] = useState<unknown>(null);
  const visible = useVisible();
  const key = JSON.stringify(filters);
  const now = useRef({ key, list, window: { from: 0, to: 0 } as Window, atTop: true, paging: false });
  now.current.key = key;
  now.current.list = list;

  const ask = useCallback(async (cursor: string | null, limit: number, signal?: AbortSignal): Promise<Page> => {
    return await call<Page>(`/invocations/v1/executions${query({ ...asked(JSON.parse(key) as Filters), limit, cursor })}`, signal ? { signal } : {});
  }, [key]);

  useEffect(() => {
    setList(NO_ROWS);
    setError(null);
    now.current.atTop = true;
  }, [key]);

  const look = useCallback(async (signal: AbortSignal) => {
    try {
      const page = await ask(null, TOP, signal);
      if (signal.aborted) return;
      setError(null);
      setList((old) => merge(old, page, !now.current.atTop));
      const { window } = now.current;
      const ids = restless(now.current.list, window.from, window.to, page, SINGLES);
      const rows = await Promise.all(ids.map((id) => call<Execution>(`/invocations/v1/executions/${id}`, { signal }).catch(() => null)));
      if (!signal.aborted) setList((old) => update(old, rows.filter((row) => row !== null)));
    } catch (failed) {
      if (!signal.aborted) setError(failed);
    }
  }, [ask]);

  useEffect(() => {
    if (!visible) return undefined;
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout>;
    const round = async () => {
      await look(stop.signal);
      if (!stop.signal.aborted) timer = setTimeout(() => void round(), POLL_MS);
    };
    void round();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [look, visible]);

  const more = useCallback(async () => {
    const { list: had, paging } = now.current;
    if (paging || !had.known || had.cursor === null) return;
    now.current.paging = true;
    try {
      const page = await ask(had.cursor, PAGE);
      setList((old) => (old.cursor === had.cursor && now.current.key === key ? append(old, page) : old));
    } catch (failed) {
      setError(failed);
    } finally {
      now.current.paging = false;
    }
  }, [ask, key]);

  const seen = useCallback((window: Window, atTop: boolean) => {
    now.current.window = window;
    now.current.atTop = atTop;
    if (atTop) setList((old) => release(old));
    if (window.to > now.current.list.rows.length - 60) void more();
  }, [more]);

  useEffect(() => {
    if (now.current.window.to > list.rows.length - 60) void more();
  }, [list, more]);

  return { list, error, seen };
}
