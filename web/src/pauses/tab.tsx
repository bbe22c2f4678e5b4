// The pauses of one run, open and closed ones.
import { useQuery } from "@tanstack/react-query";
import { call } from "../api/client";
import type { Execution, Pause } from "../api/types";
import { Loading, Problem } from "../ui/parts";
import { PauseCard } from "./answer";

export function PausesTab({ run }: { run: Execution }) {
  const told = useQuery({ queryKey: ["pauses", run.execution_id, run.seq], queryFn: () => call<{ pauses: Pause[] }>(`/invocations/v1/executions/${run.execution_id}/pauses`), placeholderData: (before) => before });
  if (told.error) return <div className="pad"><Problem error={told.error} retry={() => void told.refetch()} /></div>;
  if (!told.data) return <Loading what="the pauses" />;
  if (!told.data.pauses.length) return <div className="note"><p>This run has asked nobody for anything.</p></div>;
  return <div className="pad">{told.data.pauses.map((pause) => <PauseCard key={`${pause.pause_id}/${pause.level}`} pause={pause} executionId={run.execution_id} />)}</div>;
}
