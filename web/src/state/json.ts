// Values as a person reads them: one line for a branch, the places of a search, the differences between two.
import diff from "microdiff";
import type { Json } from "../api/types";
import { isObject } from "./schema";

export type Path = (string | number)[];

/** A value in a few characters. */
export function brief(value: Json, most = 80): string {
  if (Array.isArray(value)) return value.length ? `[ ${value.length} ]` : "[]";
  if (isObject(value)) {
    const names = Object.keys(value);
    return names.length ? `{ ${names.slice(0, 4).join(", ")}${names.length > 4 ? ", …" : ""} }` : "{}";
  }
  const text = JSON.stringify(value);
  return text.length > most ? `${text.slice(0, most)}…` : text;
}

/** `order.lines[2].sku` */
export function pathText(path: Path): string {
  return path.reduce<string>((text, step) => (typeof step === "number" ? `${text}[${step}]` : /^[A-Za-z_]\w*$/.test(step) ? (text ? `${text}.${step}` : step) : `${text}[${JSON.stringify(step)}]`), "") || "value";
}

export interface Change {
  kind: "added" | "removed" | "changed";
  path: string;
  before?: Json;
  after?: Json;
}

const KINDS = { CREATE: "added", REMOVE: "removed", CHANGE: "changed" } as const;

export function changes(before: Json, after: Json): Change[] {
  const found = diff({ value: before } as Record<string, unknown>, { value: after } as Record<string, unknown>);
  return found.map((one) => ({
    kind: KINDS[one.type],
    path: pathText(one.path.slice(1)),
    before: "oldValue" in one ? (one.oldValue as Json) : undefined,
    after: "value" in one ? (one.value as Json) : undefined,
  }));
}

export const pretty = (value: Json | undefined): string => (value === undefined ? "" : JSON.stringify(value, null, 2));

/** Parse a text; where it breaks, the line and column if the browser tells. */
export function parseJson(text: string): { value: Json } | { error: string } {
  try {
    return { value: JSON.parse(text) as Json };
  } catch (error) {
    const told = error instanceof Error ? error.message : String(error);
    const at = /position (\d+)/.exec(told);
    if (!at || /line \d+/.test(told)) return { error: told };
    const before = text.slice(0, Number(at[1])).split("\n");
    return { error: `${told} (line ${before.length}, column ${before.at(-1)!.length + 1})` };
  }
}
