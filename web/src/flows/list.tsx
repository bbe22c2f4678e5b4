// /flows: every name that can be run, and the artifact that it stands for.
import { useQuery } from "@tanstack/react-query";
import { useEffect } from "react";
import { Link } from "wouter";
import { call } from "../api/client";
import type { Alias } from "../api/types";
import { useNow } from "../ui/clock";
import { Loading, Moment, Note, Problem } from "../ui/parts";

export function FlowsPage() {
  const now = useNow(5_000);
  const flows = useQuery({ queryKey: ["aliases"], queryFn: () => call<{ aliases: Alias[] }>("/registry/v1/aliases"), refetchInterval: 5_000 });
  useEffect(() => void (document.title = "Flows · Axiom"), []);
  return (
    <div className="page">
      <h1>Flows</h1>
      <Body flows={flows.data?.aliases} error={flows.error} retry={() => void flows.refetch()} now={now} />
    </div>
  );
}

function Body({ flows, error, retry, now }: { flows: Alias[] | undefined; error: unknown; retry: () => void; now: number }) {
  if (!flows) return error ? <Problem error={error} retry={retry} /> : <Loading what="flows" />;
  if (!flows.length) {
    return (
      <Note title="No flow has a name yet">
        <p>Make a package and serve it; its flows appear here:</p>
        <pre>{"axiom init orders\naxiom dev orders"}</pre>
      </Note>
    );
  }
  return (
    <div className="card scroll-x">
      <table>
        <thead><tr><th scope="col">Flow</th><th scope="col">Version</th><th scope="col">Moved</th><th scope="col">Artifact</th></tr></thead>
        <tbody>
          {flows.map((flow) => (
            <tr key={flow.name}>
              <td><Link href={`/flows/${flow.name}`}>{flow.name}</Link></td>
              <td>{flow.version}</td>
              <td><Moment at={flow.moved_at} now={now} /></td>
              <td className="mono">{flow.graph_id.slice(0, 12)}…</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
