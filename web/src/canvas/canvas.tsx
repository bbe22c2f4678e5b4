// The graph, drawn where the compiler placed it. Read-only: it can be moved and zoomed, and a node can be chosen. Loaded on
// demand, with the library that draws it.
import { Background, Controls, Handle, MarkerType, Position, ReactFlow, type Edge, type Node, type NodeProps } from "@xyflow/react";
import "@xyflow/react/dist/style.css";
import { memo, useMemo } from "react";
import type { Artifact, ArtifactNode } from "../api/types";
import type { Picture } from "../state/replay";

const WIDTH = 172;
const HEIGHT = 58;
const COLUMN = 236;
const ROW = 92;
/** Larger graphs mount only what is on the screen. */
const CULLED_FROM = 200;

interface Data extends Record<string, unknown> {
  node: ArtifactNode;
  picture: Picture | undefined;
  chosen: boolean;
}

const PHASE_WORDS: Record<Picture["phase"], string> = {
  idle: "",
  ready: "next",
  running: "running",
  retrying: "will be tried again",
  waiting: "waiting",
  mapping: "running its items",
  completed: "completed",
  failed: "failed",
  not_taken: "not taken",
  cancelled: "cancelled",
};
const KINDS: Record<string, string> = { sleep: "waits for a time", event: "waits for an event", flow: "runs a flow" };

/** The second line of a node: what it is, until it has something to tell. */
function line(node: ArtifactNode, picture: Picture | undefined): string {
  const what = KINDS[node.kind] ?? node.node;
  if (!picture || picture.phase === "idle") return what;
  const times = picture.iterations > 1 ? ` · ${picture.completed}/${picture.iterations}` : picture.attempt > 1 ? ` · attempt ${picture.attempt}` : "";
  return `${PHASE_WORDS[picture.phase]}${times}`;
}

const Box = memo(({ data }: NodeProps<Node<Data>>) => {
  const { node, picture, chosen } = data;
  const mark = node.type === "pipeline" ? "⚡ " : node.traits.includes("hitl") ? "❚❚ " : node.join ? "⋈ " : "";
  return (
    <div className={`flow-node ${picture?.phase ?? "idle"}${chosen ? " on" : ""}`} data-alias={node.alias} data-phase={picture?.phase ?? "idle"}>
      <Handle type="target" position={Position.Left} isConnectable={false} />
      <b>{mark}{node.alias}</b>
      <span>{line(node, picture)}</span>
      <Handle type="source" position={Position.Right} isConnectable={false} />
    </div>
  );
});

const TYPES = { box: Box };

export function Canvas({ artifact, picture, chosen, choose }: { artifact: Artifact; picture?: Map<string, Picture>; chosen?: string | null; choose?: (alias: string | null) => void }) {
  const nodes = useMemo<Node<Data>[]>(() => artifact.nodes.map((node, index) => {
    const [column, row] = node.position ?? [index, 0];
    const drawn = picture?.get(node.alias);
    return {
      id: node.alias,
      type: "box",
      position: { x: column * COLUMN, y: row * ROW },
      width: WIDTH,
      height: HEIGHT,
      data: { node, picture: drawn, chosen: chosen === node.alias },
      ariaLabel: `${node.alias}, ${line(node, drawn)}`,
    };
  }), [artifact, picture, chosen]);
  const edges = useMemo<Edge[]>(() => artifact.edges.flatMap((edge) => {
    if (edge.from.startsWith("@") || edge.to.startsWith("@")) return [];
    const lit = picture?.get(edge.from)?.phase === "completed" && !["idle", "not_taken"].includes(picture.get(edge.to)?.phase ?? "idle") && !edge.on_error;
    const label = edge.on_error ? "on error" : edge.loop ? "again" : edge.conditional ? "if" : undefined;
    return [{
      id: String(edge.number),
      source: edge.from,
      target: edge.to,
      label,
      style: { stroke: lit ? "var(--green)" : undefined, strokeWidth: lit ? 2 : 1.3, strokeDasharray: edge.on_error || edge.conditional || edge.loop ? "5 4" : undefined },
      labelStyle: { fill: "var(--soft)", fontSize: 11 },
      labelBgStyle: { fill: "var(--ground)" },
      markerEnd: { type: MarkerType.ArrowClosed, width: 16, height: 16 },
    }];
  }), [artifact, picture]);
  return (
    <ReactFlow
      nodes={nodes}
      edges={edges}
      nodeTypes={TYPES}
      fitView
      fitViewOptions={{ padding: 0.15, maxZoom: 1 }}
      minZoom={0.03}
      nodesDraggable={false}
      nodesConnectable={false}
      edgesFocusable={false}
      onlyRenderVisibleElements={nodes.length > CULLED_FROM}
      onNodeClick={(_, node) => choose?.(chosen === node.id ? null : node.id)}
      onPaneClick={() => choose?.(null)}
    >
      <Background gap={22} color="var(--line)" />
      <Controls showInteractive={false} />
    </ReactFlow>
  );
}
