// The fold, on journals that Python made and folded. Without AXIOM_JOURNALS (see tests/web/test_fold_twin.py) it plays one
// by hand.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { JournalEvent, Json } from "../api/types";
import { journal } from "./testing";
import { apply, fold } from "./fold";
import { picture, Replay } from "./replay";
import { State } from "./state";
import { Topology, type Graph } from "./topology";

interface Told {
  name: string;
  graph: Graph;
  events: JournalEvent[];
  /** After each event: the status, and the nodes that changed as `[number, iteration, phase, attempt]`. */
  states: [status: string, changed: [number, number[], string, number][]][];
}

const NODE = { join: null, join_n: null, join_policy: null, traits: [] };
const EDGE = { on_error: false, loop: false };
const CHAIN: Graph = { mode: "unary", entry: "a", terminal: "b", compensate: {}, nodes: [{ alias: "a", ...NODE }, { alias: "b", ...NODE }], edges: [{ number: 0, from: "a", to: "b", ...EDGE }] };

const RUN = journal(["ExecutionAccepted"], ["ExecutionStarted"], ["NodeStarted", "a", 1], ["NodeCompleted", "a", 1], ["NodeStarted", "b", 1], ["NodeCompleted", "b", 1], ["ExecutionCompleted"]);
const phases = (state: State): string[] => [...state.nodes].map(([key, run]) => `${key}:${run.phase}`);

describe("a journal folds to a state", () => {
  it("goes from node to node", () => {
    const state = fold(new Topology(CHAIN), RUN.slice(0, 4));
    expect(state.status).toBe("RUNNING");
    expect(phases(state)).toEqual(["0/:completed", "1/:ready"]);
    expect(fold(new Topology(CHAIN), RUN).status).toBe("COMPLETED");
  });

  it("takes no result of an attempt that doesn't run, and nothing after the end", () => {
    const late = journal(["ExecutionAccepted"], ["ExecutionStarted"], ["NodeStarted", "a", 1], ["NodeCompleted", "a", 2]);
    expect(phases(fold(new Topology(CHAIN), late))).toEqual(["0/:running"]);
    const after = fold(new Topology(CHAIN), [...RUN, { ...RUN[2]!, seq: 8 }]);
    expect([after.status, after.seq]).toEqual(["COMPLETED", 7]);
  });

  it("reads a kind that it doesn't know as a remark", () => {
    expect(fold(new Topology(CHAIN), journal(["ExecutionAccepted"], ["SomethingNew"])).seq).toBe(2);
  });
});

describe("a replay", () => {
  it("is the same at a moment, however one came there", () => {
    const replay = new Replay(new Topology(CHAIN));
    expect(replay.extend(RUN.slice(0, 5))).toBe(true);
    expect(replay.extend(RUN.slice(2, 5))).toBe(false);
    const before = phases(replay.at(4));
    replay.at(1);
    replay.extend(RUN);
    expect(replay.events.length).toBe(RUN.length);
    expect(phases(replay.at(4))).toEqual(before);
    expect(replay.at(7).status).toBe("COMPLETED");
  });

  it("keeps states along a long run", () => {
    const rounds = Array.from({ length: 2_000 }, (_, index): [string, string, number, Record<string, Json>] => (index % 2 ? ["NodeFailed", "a", (index + 1) / 2, { code: "x", message: "x", retry_at: 1 }] : ["NodeStarted", "a", index / 2 + 1, {}]));
    const events = journal(["ExecutionAccepted"], ["ExecutionStarted"], ...rounds);
    const replay = new Replay(new Topology(CHAIN));
    replay.extend(events);
    for (const count of [1, 255, 256, 257, 1_500, 300, 2_002]) {
      expect(phases(replay.at(count))).toEqual(phases(fold(new Topology(CHAIN), events.slice(0, count))));
    }
  });

  it("shows of a node that runs several times the liveliest", () => {
    const topology = new Topology({ ...CHAIN, nodes: [{ alias: "a", ...NODE }, { alias: "b", ...NODE, traits: ["map"] }] });
    const state = fold(topology, journal(["ExecutionAccepted"], ["ExecutionStarted"], ["NodeStarted", "a", 1], ["NodeCompleted", "a", 1], ["NodeStarted", "b", 1], ["MapOpened", "b", 1, { count: 3, bound: 2, tolerant: false }]));
    apply(topology, state, { ...RUN[2]!, node: "b", iteration: [1], seq: 7 });
    expect(picture(topology, state).get("b")).toMatchObject({ phase: "running", iterations: 3, completed: 0 });
  });
});

const given = process.env.AXIOM_JOURNALS;
describe.runIf(given)("the runs of the other fold", () => {
  const told = given ? (JSON.parse(readFileSync(given, "utf-8")) as Told[]) : [];
  it.each(told.map((one) => [one.name, one] as const))("%s", (_, { graph, events, states }) => {
    const topology = new Topology(graph);
    const state = new State();
    const nodes = new Map<string, string>();
    events.forEach((event, index) => {
      apply(topology, state, event);
      const [status, changed] = states[index]!;
      for (const [number, iteration, phase, attempt] of changed) nodes.set(`${number}/${iteration.join(".")}`, `${phase} ${attempt}`);
      const mine = Object.fromEntries([...state.nodes].map(([key, run]) => [key, `${run.phase} ${run.attempt}`]));
      expect({ seq: event.seq, status: state.status, nodes: mine }).toEqual({ seq: event.seq, status, nodes: Object.fromEntries(nodes) });
    });
  });
});
