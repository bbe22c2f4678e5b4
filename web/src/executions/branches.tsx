// The gates of a run, and where each of their arms stands.
import { useQuery } from "@tanstack/react-query";
import { call } from "../api/client";
import type { Branches as Told, Execution } from "../api/types";
import { isFinal } from "../state/words";
import { useNow } from "../ui/clock";
import { Loading, Moment, Problem } from "../ui/parts";

const WORDS: Record<string, string> = { not_taken: "not taken", pending: "not begun", went: "went on" };

export function Branches({ run, setNode }: { run: Execution; setNode: (node: string) => void }) {
  const now = useNow();
  const told = useQuery({ queryKey: ["branches", run.execution_id, run.seq], queryFn: () => call<Told>(`/invocations/v1/executions/${run.execution_id}/branches`), placeholderData: (before) => before, staleTime: isFinal(run.status) ? Infinity : 1_000 });
  if (told.error) return <div className="pad"><Problem error={told.error} retry={() => void told.refetch()} /></div>;
  if (!told.data) return <Loading what="the branches" />;
  if (!told.data.gates.length) return <div className="note"><p>This flow has no gates: no node waits for several others.</p></div>;
  const key = (one: { gate: string; iteration: number[] }) => `${one.gate}${one.iteration.length ? ` [${one.iteration.join(", ")}]` : ""}`;
  return (
    <div className="pad">
      {told.data.gates.map((gate) => (
        <section key={key(gate)} className="card" aria-label={`Gate ${key(gate)}`}>
          <div className="row pad">
            <h2><button className="plain" onClick={() => setNode(gate.gate)}>⋈ {key(gate)}</button></h2>
            <span className={`chip ${gate.state === "waiting" ? "WAITING_ON_GATE" : gate.state === "went" ? "COMPLETED" : gate.state === "failed" ? "FAILED" : ""}`}>{WORDS[gate.state] ?? gate.state}</span>
            <span className="soft">{gate.kind}, {gate.failure_policy === "FAIL_FAST" ? "fails with the first arm that fails" : "tolerates failed arms"}</span>
            <span className="grow" />
            {gate.needs && <span className="soft">needs {gate.needs}</span>}
            {gate.due && <span className="soft">until <Moment at={gate.due} now={now} /></span>}
          </div>
          <table>
            <thead><tr><th scope="col">Arm</th><th scope="col">Stands</th><th scope="col">Since</th></tr></thead>
            <tbody>
              {told.data.branches.filter((arm) => key(arm) === key(gate)).map((arm, index) => (
                <tr key={index}>
                  <td>{arm.arm}</td>
                  <td>{WORDS[arm.state] ?? arm.state}{arm.node && arm.node !== arm.arm && <span className="soft"> at {arm.node}</span>}</td>
                  <td><Moment at={arm.since} now={now} /></td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      ))}
    </div>
  );
}
