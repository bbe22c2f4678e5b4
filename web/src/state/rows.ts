// The rows of a long list that moves while it is read: newest first, each once, whatever order the answers come in.
//
// `merge` takes a look at the top (the poll), `append` the next page below. Rows that are new at the top are put aside
// while somebody reads further down, so that nothing moves under the cursor.
import type { Row } from "../api/types";
import { isFinal } from "./words";

export interface Page {
  executions: Row[];
  next_cursor: string | null;
}

export interface Rows {
  rows: readonly Row[];
  /** New ones that are not shown yet, newest first. */
  aside: readonly Row[];
  cursor: string | null;
  /** Whether a first page was ever had. */
  known: boolean;
}

export const NO_ROWS: Rows = { rows: [], aside: [], cursor: null, known: false };

const before = (a: Row, b: Row): number => (a.created_at === b.created_at ? (a.execution_id < b.execution_id ? 1 : -1) : a.created_at < b.created_at ? 1 : -1);

export function append(list: Rows, page: Page): Rows {
  const known = new Set(list.rows.map((row) => row.execution_id));
  list.aside.forEach((row) => known.add(row.execution_id));
  const fresh = page.executions.filter((row) => !known.has(row.execution_id));
  return { ...list, rows: [...list.rows, ...fresh], cursor: page.next_cursor, known: true };
}

/** Take a newer look at the top of the list; `hold` puts what is new aside. A row that is not matched any more stays till the next load. */
export function merge(list: Rows, page: Page, hold: boolean): Rows {
  if (!list.known) return append(list, page);
  const updated = update(list, page.executions);
  const known = new Set([...updated.rows, ...updated.aside].map((row) => row.execution_id));
  const oldest = updated.rows.at(-1);
  const wanted = (row: Row) => !known.has(row.execution_id) && (!oldest || list.cursor === null || before(row, oldest) < 0);
  const fresh = page.executions.filter(wanted);
  if (!fresh.length) return updated;
  if (hold) return { ...updated, aside: [...fresh, ...updated.aside].sort(before) };
  return { ...updated, rows: [...fresh, ...updated.aside, ...updated.rows].sort(before), aside: [] };
}

/** Put newer versions of known rows in their places. */
export function update(list: Rows, newer: readonly Row[]): Rows {
  const by = new Map(newer.map((row) => [row.execution_id, row]));
  let changed = false;
  const replaced = (row: Row): Row => {
    const other = by.get(row.execution_id);
    if (!other || (other.updated_at === row.updated_at && other.status === row.status)) return row;
    changed = true;
    return other;
  };
  const [rows, aside] = [list.rows.map(replaced), list.aside.map(replaced)];
  return changed ? { ...list, rows, aside } : list;
}

export function release(list: Rows): Rows {
  return list.aside.length ? { ...list, rows: [...list.aside, ...list.rows].sort(before), aside: [] } : list;
}

/** Rows on the screen that may still change and that `page`, the look at the top, doesn't tell of. */
export function restless(list: Rows, from: number, to: number, page: Page, most: number): string[] {
  const told = new Set(page.executions.map((row) => row.execution_id));
  return list.rows
    .slice(from, to)
    .filter((row) => !isFinal(row.status) && !told.has(row.execution_id))
    .slice(0, most)
    .map((row) => row.execution_id);
}
