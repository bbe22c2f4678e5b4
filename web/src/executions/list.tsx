// /executions: one row per execution, newest first, filters in the address.
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState, type CSSProperties } from "react";
import { Link, useSearch, useLocation } from "wouter";
import { call } from "../api/client";
import { STATUSES, type Alias, type Row, type Status } from "../api/types";
import { anyFilter, NO_FILTERS, readFilters, writeFilters, type Filters } from "../state/filters";
import { duration, isFinal, plural, shortId, STATUS_SIGNS, STATUS_WORDS } from "../state/words";
import { useNarrow, useNow } from "../ui/clock";
import { Loading, Moment, Note, Problem, StatusChip } from "../ui/parts";
import { Virtual } from "../ui/virtual";
import { BulkDialog } from "./bulk";
import { useFeed } from "./feed";

const ROW = 44;
const NARROW_ROW = 60;

export function ExecutionsPage() {
  const [, go] = useLocation();
  const search = useSearch();
  const filters = readFilters(search);
  const [bulk, setBulk] = useState(false);
  const set = (change: Partial<Filters>) => go(`/executions${writeFilters({ ...filters, ...change })}`);
  useEffect(() => void (document.title = "Executions · Axiom"), []);
  return (
    <div className="page">
      <div className="row">
        <h1 className="grow">Executions</h1>
        <button onClick={() => setBulk(true)} disabled={!anyFilter(filters)} title={anyFilter(filters) ? undefined : "Choose a filter first"}>Cancel or restart all…</button>
      </div>
      <FilterBar filters={filters} set={set} />
      <List filters={filters} clear={() => go("/executions")} />
      {bulk && <BulkDialog filters={filters} close={() => setBulk(false)} />}
    </div>
  );
}

function FilterBar({ filters, set }: { filters: Filters; set: (change: Partial<Filters>) => void }) {
  const aliases = useQuery({ queryKey: ["aliases"], queryFn: () => call<{ aliases: Alias[] }>("/registry/v1/aliases"), staleTime: 30_000 });
  const names = [...new Set([...(aliases.data?.aliases ?? []).map((alias) => alias.name), ...(filters.flow ? [filters.flow] : [])])].sort();
  const flip = (status: Status) => set({ status: filters.status.includes(status) ? filters.status.filter((one) => one !== status) : [...filters.status, status] });
  return (
    <search className="filters" aria-label="Filters">
      <Words value={filters.q} change={(q) => set({ q })} />
      <label>Flow
        <select aria-label="Flow" value={filters.flow} onChange={(event) => set({ flow: event.target.value })}>
          <option value="">all</option>
          {names.map((name) => <option key={name}>{name}</option>)}
        </select>
      </label>
      <label>From <input type="date" value={filters.from} max={filters.to || undefined} onChange={(event) => set({ from: event.target.value })} /></label>
      <label>To <input type="date" value={filters.to} min={filters.from || undefined} onChange={(event) => set({ to: event.target.value })} /></label>
      {anyFilter(filters) && <button type="button" className="plain" onClick={() => set(NO_FILTERS)}>Clear filters</button>}
      <div className="filters" role="group" aria-label="Status">
        {STATUSES.map((status) => (
          <button key={status} type="button" className="toggle" aria-pressed={filters.status.includes(status)} onClick={() => flip(status)}>
            <span aria-hidden="true">{STATUS_SIGNS[status]}</span> {STATUS_WORDS[status]}
          </button>
        ))}
      </div>
    </search>
  );
}

/** A search that is asked for when the typing pauses. */
function Words({ value, change }: { value: string; change: (text: string) => void }) {
  const [typed, setTyped] = useState(value);
  useEffect(() => setTyped(value), [value]);
  useEffect(() => {
    if (typed.trim() === value) return undefined;
    const timer = setTimeout(() => change(typed.trim()), 300);
    return () => clearTimeout(timer);
  }, [typed, value]);
  return <input type="search" aria-label="Search: the start of an id, a flow, or a key" placeholder="Id, flow or key…" value={typed} onChange={(event) => setTyped(event.target.value)} />;
}

function List({ filters, clear }: { filters: Filters; clear: () => void }) {
  const { list, error, seen } = useFeed(filters);
  const now = useNow();
  const narrow = useNarrow();
  const [top, setTop] = useState(0);
  if (!list.known) return error ? <Problem error={error} /> : <Loading what="executions" />;
  if (!list.rows.length && list.cursor === null) return anyFilter(filters) ? <NoMatch clear={clear} /> : <Nothing />;
  const line = (index: number, style: CSSProperties) => <Line key={list.rows[index]!.execution_id} row={list.rows[index]!} style={style} now={now} index={index} />;
  return (
    <div className="card table">
      {list.aside.length > 0 && <button className="main fresh" onClick={() => setTop(top + 1)}>↑ {plural(list.aside.length, "new execution")}</button>}
      <div className="table" role="table" aria-label="Executions" aria-rowcount={list.cursor === null ? list.rows.length + 1 : -1}>
        <div role="rowgroup">
          <div className="tr head runs" role="row">
            {["Status", "Started", "Duration", "Flow", "Execution"].map((name) => <span key={name} role="columnheader">{name}</span>)}
          </div>
        </div>
        <Virtual key={top} count={list.rows.length} height={narrow ? NARROW_ROW : ROW} label="Executions" seen={seen} row={line} />
      </div>
      <div className="foot" aria-live="off">{plural(list.rows.length, "execution")} loaded{list.cursor === null ? "" : ", more below"}</div>
    </div>
  );
}

function Line({ row, style, now, index }: { row: Row; style: CSSProperties; now: number; index: number }) {
  const began = Date.parse(row.started_at ?? row.created_at);
  const took = row.duration_ms ?? (isFinal(row.status) ? null : now - began);
  return (
    <div className="tr runs" role="row" aria-rowindex={index + 2} style={style} data-id={row.execution_id}>
      <span role="cell"><StatusChip status={row.status} /></span>
      <span role="cell"><Moment at={row.started_at ?? row.created_at} now={now} /></span>
      <span role="cell" className={isFinal(row.status) ? "" : "soft"}>{took === null ? "–" : duration(took)}</span>
      <span role="cell">{row.flow || <span className="soft">{shortId(row.graph_id)}</span>}</span>
      <span role="cell" className="mono"><Link href={`/executions/${row.execution_id}`}><span className="full">{row.execution_id}</span><span className="short">{shortId(row.execution_id)}</span></Link></span>
    </div>
  );
}

function NoMatch({ clear }: { clear: () => void }) {
  return (
    <Note title="No execution matches these filters">
      <button onClick={clear}>Clear filters</button>
    </Note>
  );
}

function Nothing() {
  return (
    <Note title="Nothing has run yet">
      <p>Run a flow from its page, or from a terminal:</p>
      <pre>{`axiom run FLOW -d '{"name": "Ada"}'`}</pre>
      <Link className="button" href="/flows">To the flows</Link>
    </Note>
  );
}
