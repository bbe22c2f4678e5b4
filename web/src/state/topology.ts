// What the fold needs to know of a graph: the twin of runtime/topology.py.
//
// `@flow_input` and `@flow_output` are no nodes, and their edges are left out. A loop's back edge is no arm. A node's
// depth is the number of loops whose body it is in; its iteration has as many counts, outermost first.
import type { Artifact } from "../api/types";

export type Arrow = readonly [edge: number, target: number];

export interface Join {
  kind: "AND" | "OR" | "XOR" | "N_OF_M" | "FIRST";
  n: number;
  failFast: boolean;
}

export type Graph = Pick<Artifact, "mode" | "entry" | "terminal" | "compensate"> & {
  nodes: Pick<Artifact["nodes"][number], "alias" | "join" | "join_n" | "join_policy" | "traits">[];
  edges: Pick<Artifact["edges"][number], "number" | "from" | "to" | "on_error" | "loop">[];
};

interface Inner {
  number: number;
  source: number;
  target: number;
  on_error: boolean;
  loop: boolean;
}

export class Topology {
  readonly aliases: string[];
  readonly numbers: Map<string, number>;
  readonly mode: "unary" | "pipeline";
  readonly entry: number;
  readonly terminal: number;
  readonly follows: Arrow[][];
  readonly rescues: Arrow[][];
  readonly backs: Arrow[][];
  readonly arms: number[][];
  readonly joins: Join[];
  readonly mapped: Set<number>;
  readonly reaches: boolean[];
  readonly depths: number[];
  readonly looped: boolean;
  private readonly captured = new Map<number, Set<number>>();

  constructor(graph: Graph) {
    this.aliases = graph.nodes.map((node) => node.alias);
    this.numbers = new Map(this.aliases.map((alias, number) => [alias, number]));
    this.mode = graph.mode;
    this.entry = this.numbers.get(graph.entry) ?? 0;
    this.terminal = this.numbers.get(graph.terminal) ?? graph.nodes.length - 1;
    const lists = <T,>(): T[][] => graph.nodes.map(() => []);
    [this.follows, this.rescues, this.backs, this.arms] = [lists<Arrow>(), lists<Arrow>(), lists<Arrow>(), lists<number>()];
    const inner: Inner[] = [];
    for (const edge of graph.edges) {
      const [source, target] = [this.numbers.get(edge.from), this.numbers.get(edge.to)];
      if (source === undefined || target === undefined) continue;
      inner.push({ ...edge, source, target });
      (edge.loop ? this.backs : edge.on_error ? this.rescues : this.follows)[source]!.push([edge.number, target]);
      if (!edge.loop) this.arms[target]!.push(edge.number);
    }
    this.joins = graph.nodes.map((node) => ({ kind: node.join ?? "AND", n: node.join_n ?? 0, failFast: node.join_policy !== "TOLERATE_FAILURES" }));
    this.mapped = new Set(graph.nodes.flatMap((node, number) => (node.traits.includes("map") ? [number] : [])));
    this.reaches = this.reaching(null);
    this.looped = this.backs.some((arrows) => arrows.length > 0);
    this.depths = this.loopDepths(inner.filter((edge) => edge.loop));
  }

  needs(node: number): number {
    return this.arms[node]!.length;
  }

  opening(): number[] {
    return new Array<number>(this.depths[this.entry]!).fill(0);
  }

  /** The iteration of `target` when a forward arrow comes from `source` in `iteration`. */
  across(source: number, target: number, iteration: number[]): number[] {
    const [here, there] = [this.depths[source]!, this.depths[target]!];
    return there <= here ? iteration.slice(0, there) : [...iteration.slice(0, here), ...new Array<number>(there - here).fill(0)];
  }

  /** The next iteration of the loop whose head is `target`. */
  again(target: number, iteration: number[]): number[] {
    const depth = this.depths[target]!;
    return [...iteration.slice(0, depth - 1), iteration[depth - 1]! + 1];
  }

  /** The nodes whose work is of no use once `join` has failed: without it they lead nowhere. */
  captives(join: number): Set<number> {
    let found = this.captured.get(join);
    if (!found) {
      const around = this.reaching(join);
      found = new Set(this.reaches.flatMap((reaches, node) => (reaches && !around[node] && node !== join ? [node] : [])));
      this.captured.set(join, found);
    }
    return found;
  }

  private reaching(without: number | null): boolean[] {
    const into: number[][] = this.follows.map(() => []);
    this.follows.forEach((arrows, source) => {
      for (const [, target] of [...arrows, ...this.rescues[source]!]) into[target]!.push(source);
    });
    return walk(into, this.terminal, without);
  }

  private loopDepths(backs: Inner[]): number[] {
    const depths = this.follows.map(() => 0);
    if (!backs.length) return depths;
    const out = this.follows.map((arrows, source) => [...arrows, ...this.rescues[source]!].map(([, target]) => target));
    const into: number[][] = out.map(() => []);
    out.forEach((targets, source) => targets.forEach((target) => into[target]!.push(source)));
    const heads = new Map<number, Set<number>>(); // several back edges to one head are one loop
    for (const edge of backs) {
      const [after, before] = [walk(out, edge.target, null), walk(into, edge.source, null)];
      const whole = heads.get(edge.target) ?? new Set<number>();
      out.forEach((_, node) => after[node] && before[node] && whole.add(node));
      heads.set(edge.target, whole);
    }
    for (const whole of heads.values()) for (const node of whole) depths[node]! += 1;
    return depths;
  }
}

function walk(arrows: number[][], start: number, without: number | null): boolean[] {
  const found = new Array<boolean>(arrows.length).fill(false);
  const work = start === without ? [] : [start];
  while (work.length) {
    const node = work.pop()!;
    if (found[node] || node === without) continue;
    found[node] = true;
    work.push(...arrows[node]!);
  }
  return found;
}
