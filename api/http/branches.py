"""The gates of an execution: ``/invocations/v1/executions/{execution_id}/branches``."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from axiom.runtime import catalog
from axiom.runtime.branches import Gate, branches
from axiom.runtime.topology import Topology

from ..auth import Principal
from ..requests import known_parameters
from ..service import Service, needs
from ..wire import Json, iso


@needs("read")
async def arms(request: Request, service: Service, caller: Principal) -> Response:
    """``GET …/branches``: each arm of each gate, and what the gates still need."""
    known_parameters(request)
    head = await service.head(request, caller)
    topology = Topology(await catalog.load_plan(service.raw_store, head.graph_id))
    gates = await branches(service.store, head.execution_id, topology)
    return Json(
        {"branches": [row for gate in gates for row in _arms(gate)], "gates": list(map(_gate, gates))}
    )


def _gate(gate: Gate) -> dict[str, Any]:
    told = gate._asdict()
    del told["node"], told["arms"]
    times = {"since": iso(gate.since), "due": iso(gate.due)}
    return {"gate": gate.node, **told, "iteration": list(gate.iteration), **times}


def _arms(gate: Gate) -> list[dict[str, Any]]:
    return [
        {
            "arm": arm.alias,
            "gate": gate.node,
            "iteration": list(gate.iteration),
            "state": arm.state,
            "since": iso(arm.since),
            "node": arm.node,
        }
        for arm in gate.arms
    ]


ROUTES: Final = [Route("/invocations/v1/executions/{execution_id}/branches", arms, methods=["GET"])]
