// What a list of executions shows: filters, and their place in the address, so that a link and the Back button keep them.
import { STATUSES, type Status } from "../api/types";

export interface Filters {
  status: Status[];
  flow: string;
  q: string;
  /** Days (`2026-01-31`) in the reader's own time, both included. */
  from: string;
  to: string;
}

export const NO_FILTERS: Filters = { status: [], flow: "", q: "", from: "", to: "" };

const DAY = /^\d{4}-\d{2}-\d{2}$/;
const day = (text: string | null): string => (text && DAY.test(text) ? text : "");

export function readFilters(search: string): Filters {
  const given = new URLSearchParams(search);
  const known = given.getAll("status").flatMap((text) => text.split(",")) as Status[];
  return {
    status: STATUSES.filter((status) => known.includes(status)),
    flow: given.get("flow") ?? "",
    q: given.get("q") ?? "",
    from: day(given.get("from")),
    to: day(given.get("to")),
  };
}

export function writeFilters(filters: Filters): string {
  const search = new URLSearchParams();
  filters.status.forEach((status) => search.append("status", status));
  for (const name of ["flow", "q", "from", "to"] as const) if (filters[name]) search.set(name, filters[name]);
  const text = search.toString();
  return text ? `?${text}` : "";
}

export const anyFilter = (filters: Filters): boolean => writeFilters(filters) !== "";

/** The server's parameters: moments instead of days, `to` being the first one that is too late. */
export function asked(filters: Filters): Record<string, string | string[]> {
  const moment = (text: string, days: number): string => {
    if (!text) return "";
    const [year, month, date] = text.split("-").map(Number) as [number, number, number];
    return new Date(year, month - 1, date + days).toISOString();
  };
  return { status: filters.status, flow: filters.flow, q: filters.q, from: moment(filters.from, 0), to: moment(filters.to, 1) };
}
