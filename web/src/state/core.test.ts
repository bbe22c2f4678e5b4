// The pages' logic without pages: filters, rows, times, schemas, values, bars, streams.
import { describe, expect, it } from "vitest";
import { parse } from "../api/sse";
import type { Json, Row, Schema } from "../api/types";
import { taken } from "../run/runs";
import { asked, NO_FILTERS, readFilters, writeFilters } from "./filters";
import { journal } from "./testing";
import { brief, changes, parseJson, pathText } from "./json";
import { append, merge, NO_ROWS, release, restless, update } from "./rows";
import { flaws, initial, kindOf, resolve } from "./schema";
import { bars } from "./timeline";
import { duration, relative, told } from "./words";

const row = (id: string, at: number, status: Row["status"] = "COMPLETED", updated = at): Row => ({ execution_id: id, flow: "f", graph_id: "g", mode: "unary", status, created_at: new Date(at).toISOString(), started_at: null, updated_at: new Date(updated).toISOString(), completed_at: null, duration_ms: null });
const page = (rows: Row[], next_cursor: string | null = null) => ({ executions: rows, next_cursor });
const ids = (rows: readonly Row[]) => rows.map((one) => one.execution_id).join("");

describe("filters", () => {
  it("come back from the address as they went in", () => {
    const filters = { status: ["RUNNING", "FAILED"] as Row["status"][], flow: "acme/a&b", q: "0af7 x", from: "2026-01-01", to: "2026-01-31" };
    expect(readFilters(writeFilters(filters))).toEqual(filters);
    expect(writeFilters(NO_FILTERS)).toBe("");
  });
  it("are nothing where the address says nonsense", () => {
    expect(readFilters("?status=HAPPY&from=tomorrow&to=2026-1-1")).toEqual(NO_FILTERS);
  });
  it("ask for whole days in the reader's time, the last one included", () => {
    const { from, to } = asked({ ...NO_FILTERS, from: "2026-03-01", to: "2026-03-01" });
    expect(new Date(from as string).getHours()).toBe(0);
    expect(Date.parse(to as string) - Date.parse(from as string)).toBe(86_400_000);
  });
});

describe("rows", () => {
  const first = append(NO_ROWS, page([row("c", 3), row("b", 2, "RUNNING")], "next"));
  it("follow page by page, each once", () => {
    expect(ids(append(first, page([row("b", 2), row("a", 1)])).rows)).toBe("cba");
  });
  it("take what is new at the top, and newer versions in their places", () => {
    const next = merge(first, page([row("d", 4), row("c", 3), row("b", 2, "COMPLETED", 9)], "next"), false);
    expect(ids(next.rows)).toBe("dcb");
    expect(next.rows[2]!.status).toBe("COMPLETED");
  });
  it("are put aside while somebody reads further down", () => {
    const held = merge(merge(first, page([row("d", 4)], "n"), true), page([row("e", 5), row("d", 4)], "n"), true);
    expect([ids(held.rows), ids(held.aside)]).toEqual(["cb", "ed"]);
    expect(ids(release(held).rows)).toBe("edcb");
  });
  it("leave a gap to the next page, not in it", () => {
    expect(ids(merge(first, page([row("c", 3), row("a", 1)], "next"), false).rows)).toBe("cb");
  });
  it("stay the same object where nothing changed", () => {
    expect(update(first, [row("c", 3)])).toBe(first);
  });
  it("name those that may still change and that the top doesn't tell of", () => {
    const many = append(NO_ROWS, page(Array.from({ length: 300 }, (_, index) => row(`${index}`, 999 - index, index % 2 ? "RUNNING" : "FAILED"))));
    expect(restless(many, 90, 110, page(many.rows.slice(0, 100)), 3)).toEqual(["101", "103", "105"]);
    expect(restless(many, 0, 4, page([]), 3)).toEqual(["1", "3"]);
  });
});

describe("times", () => {
  it.each([[0, "0 ms"], [999, "999 ms"], [1_500, "1.5 s"], [59_900, "60 s"], [61_000, "1 min 1 s"], [3_600_000, "1 h"], [90_000_000, "1 d 1 h"]])("%d ms lasts %s", (ms, text) => expect(duration(ms)).toBe(text));
  it.each([[1_000, "just now"], [-61_000, "in 1 min"], [7_200_000, "2 h ago"]])("%d ms is %s", (ms, text) => expect(relative(1e12, 1e12 + ms)).toBe(text));
  it("tells of events in words", () => {
    expect(journal(["NodeStarted", "a", 2], ["NodeCompleted", "a", 2, { ms: 40 }], ["SomethingNew"]).map(told)).toEqual(["Started, attempt 2", "Completed in 40 ms", "Something New"]);
  });
});

const ORDER: Schema = {
  type: "object",
  required: ["id", "lines"],
  additionalProperties: false,
  properties: { id: { type: "string", minLength: 1 }, note: { type: ["string", "null"] }, rush: { type: "boolean", default: true }, lines: { type: "array", minItems: 1, items: { $ref: "#/$defs/Line" } } },
  $defs: { Line: { type: "object", required: ["sku"], properties: { sku: { type: "string" }, count: { type: "integer", minimum: 1 } } } },
};

describe("schemas", () => {
  it("follow references, also a circle of them", () => {
    expect(kindOf(resolve({ $ref: "#/$defs/Line" }, ORDER), ORDER)).toBe("object");
    expect(() => resolve({ $ref: "#" }, { $ref: "#" })).not.toThrow();
    expect(resolve({ $ref: "#/nowhere" }, ORDER)).toBe(true);
  });
  it.each<[Json, string]>([[{ type: "string" }, "string"], [{ enum: [1] }, "enum"], [{ const: 1 }, "const"], [{ oneOf: [{ type: "string" }] }, "choice"], [{ allOf: [] }, "json"], [true, "json"], [{ type: ["integer", "null"] }, "integer"], [{ type: "object" }, "json"], [{ type: ["string", "integer"] }, "json"]])("%j is drawn as %s", (schema, kind) => expect(kindOf(schema as Schema, schema as Schema)).toBe(kind));
  it("start with defaults and with what is required", () => {
    expect(initial(ORDER, ORDER, true)).toEqual({ rush: true, lines: [] });
  });
  it("tell what is wrong, and where", () => {
    expect(flaws({ id: "", lines: [{ sku: 1, count: 0 }], more: 1 }, ORDER, ORDER)).toEqual([
      { path: "/id", message: "must not be empty" },
      { path: "/lines/0/sku", message: "must be a string" },
      { path: "/lines/0/count", message: "must be at least 1" },
      { path: "/more", message: "is not known" },
    ]);
    expect(flaws({ lines: [] }, ORDER, ORDER).map((flaw) => flaw.path)).toEqual(["/id", "/lines"]);
    expect(flaws({ id: "a", note: null, lines: [{ sku: "s" }] }, ORDER, ORDER)).toEqual([]);
  });
});

describe("values", () => {
  it("are told in a few characters", () => {
    expect([brief({ a: 1, b: 2 }), brief([1, 2]), brief({}), brief("x".repeat(100), 3)]).toEqual(["{ a, b }", "[ 2 ]", "{}", '"xx…']);
    expect(pathText(["lines", 2, "a b"])).toBe('lines[2]["a b"]');
  });
  it("differ where they differ", () => {
    expect(changes({ a: 1, b: [1] }, { a: 2, b: [1, 2] })).toEqual([
      { kind: "changed", path: "a", before: 1, after: 2 },
      { kind: "added", path: "b[1]", before: undefined, after: 2 },
    ]);
    expect(changes("x", "x")).toEqual([]);
  });
  it("say where JSON breaks", () => {
    expect(parseJson('{"a": 1}')).toEqual({ value: { a: 1 } });
    expect(parseJson("{\n  x")).toHaveProperty("error");
  });
});

describe("bars", () => {
  it("stand for attempts and waits, and end with the run", () => {
    const made = bars(journal(["NodeStarted", "a", 1], ["NodeFailed", "a", 1], ["NodeStarted", "a", 2], ["NodeWaiting", "a", 2], ["NodeWoken", "a", 2], ["ExecutionCancelled"]));
    expect(made.map((bar) => [bar.attempt, bar.outcome, bar.end === null])).toEqual([[1, "failed", false], [2, "completed", false], [2, "waiting", false], [2, "cancelled", false]]);
  });
});

describe("streams", () => {
  it("are cut into messages, whatever the line's end and wherever the bite ends", () => {
    expect(parse("id: 1\r\ndata: {\r\ndata: }\r\n\r\n: still here\n\ndata: x")).toEqual([[{ id: "1", data: "{\n}" }], "data: x"]);
  });
  it("keep each frame once, and know an end of the run from one of the connection", () => {
    const message = (id: string | null, frame: object) => ({ id, data: JSON.stringify(frame) });
    const one = taken([], [message("0", { frame_index: 0, payload: 1 }), message(null, { is_final: true, success: false })]);
    expect(one.end).toBeNull();
    const two = taken(one.frames, [message("0", { frame_index: 0, payload: 1 }), message("1", { frame_index: 1, payload: 2 }), message("2", { is_final: true, success: true })]);
    expect([two.frames.length, two.end?.success]).toEqual([2, true]);
  });
});
