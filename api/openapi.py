"""OpenAPI 3.1 for exactly one artifact: its own input and output, the endpoint of its mode, and what can go wrong.

The message schemas are JSON Schema 2020-12, which is what OpenAPI 3.1 speaks; each goes into ``components.schemas``
with its ``$defs`` and local references moved along.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from axiom.compiler.artifact import Plan, Schema

from .errors import PROBLEMS

INVOKE: Final = "/invocations/v1/flows/invoke"
ERRORS: Final = {
    "400": "The body or a header can't be read",
    "401": "A key is needed",
    "403": "The key may not do this",
    "404": "There is no such artifact",
    "409": "The Idempotency-Key was used for another request",
    "413": "The body is too large",
    "415": "The body is no JSON",
    "422": "The input does not fit: every violation with its path",
    "429": "Too many requests; see Retry-After",
    "503": "The store can't take it now; see Retry-After",
}


def openapi(graph_id: str, plan: Plan, description: str = "", server: str = "/") -> dict[str, Any]:
    """Return the OpenAPI document of an artifact."""
    stream = plan.mode == "pipeline"
    path = f"{INVOKE}/stream" if stream else INVOKE
    return {
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": plan.name or graph_id,
            "version": plan.version or "0.0.0",
            "description": description or f"The flow {plan.name or graph_id}.",
            "x-graph-id": graph_id,
        },
        "servers": [{"url": server}],
        "security": [{"key": []}],
        "paths": {path: {"post": _stream(graph_id) if stream else _invoke(graph_id)}, **_joins(stream)},
        "components": {
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key of Axiom."}
            },
            "schemas": {**_schemas(graph_id, plan), **(_FRAME if stream else _RESULT), **_PROBLEM},
            "responses": {
                f"Problem{status}": {
                    "description": text,
                    "content": {"application/problem+json": {"schema": _ref("Problem")}},
                    **_retry_after(status),
                }
                for status, text in ERRORS.items()
            },
        },
    }


def _schemas(graph_id: str, plan: Plan) -> dict[str, Any]:
    body: dict[str, Any] = {
        "graph_id": {"const": graph_id, "default": graph_id},
        "input": _ref("Input"),
        "timeout_seconds": {"type": "number", "minimum": 0, "maximum": 3600, "default": 30},
        "webhook": _ref("Webhook"),
        "config_id": {"type": "string", "minLength": 1, "maxLength": 200},
        "start_at": {
            "type": "string",
            "format": "date-time",
            "description": "When it starts, if not at once.",
        },
        "delay_seconds": {"type": "number", "minimum": 0, "description": "The same, counted from now."},
    }
    if plan.mode != "pipeline":
        body["wait"] = {"type": "boolean", "default": False}
    return {
        "Input": placed(plan.messages.get(plan.input, True), "Input"),
        "Output": placed(plan.messages.get(plan.output, True), "Output"),
        "Request": {
            "type": "object",
            "required": ["graph_id", "input"],
            "properties": body,
            "additionalProperties": False,
        },
        "Webhook": {
            "type": "object",
            "required": ["url"],
            "properties": {
                "url": {"type": "string", "format": "uri"},
                "headers": {
                    "type": "object",
                    "additionalProperties": {"type": "string"},
                    "maxProperties": 20,
                },
            },
            "additionalProperties": False,
        },
    }


def placed(schema: Schema, name: str) -> Any:
    """Return a self-contained schema as it reads inside ``components.schemas.<name>``: its references begin there."""
    if isinstance(schema, bool):
        return schema
    return _moved(schema, f"#/components/schemas/{name}")


def _moved(value: Any, base: str, literal: bool = False) -> Any:
    if isinstance(value, Mapping):
        out = {}
        for key, item in value.items():
            if not literal and key == "$ref" and isinstance(item, str) and re.match(r"#(/|$)", item):
                out[key] = base + item[1:]
            elif not literal and key in ("$schema", "$id"):
                continue
            else:
                out[key] = _moved(item, base, literal or key in ("const", "enum", "default", "examples"))
        return out
    if isinstance(value, (list, tuple)):
        return [_moved(item, base, literal) for item in value]
    return value


def _invoke(graph_id: str) -> dict[str, Any]:
    return {
        "operationId": "invoke",
        "summary": "Start the flow; with `wait`, answer with its result",
        "parameters": [_IDEMPOTENCY, _TRACEPARENT],
        "requestBody": _body(),
        "responses": {
            "202": {
                "description": "Accepted; `result` is there if `wait` was set and the run has ended",
                "content": {"application/json": {"schema": _ref("Accepted")}},
            },
            **_problems(),
        },
    }


def _stream(graph_id: str) -> dict[str, Any]:
    return {
        "operationId": "invokeStream",
        "summary": "Start the flow and receive its frames as server-sent events",
        "description": "Each event's `data` is a Frame and its `id` the frame_index; the last has is_final true.",
        "parameters": [_IDEMPOTENCY, _TRACEPARENT],
        "requestBody": _body(),
        "responses": {"200": _frames(), **_problems()},
    }


def _joins(stream: bool) -> dict[str, Any]:
    execution = {
        "name": "execution_id",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    }
    last = {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "The id of the last event that was received; what follows it is sent.",
        "schema": {"type": "integer", "minimum": 0},
    }
    few = {
        status: told for status, told in _problems().items() if status in ("400", "401", "403", "404", "429")
    }
    paths: dict[str, Any] = {
        "/invocations/v1/flows/{execution_id}": {
            "delete": {
                "operationId": "cancel",
                "summary": "Cancel a run, at once",
                "parameters": [execution],
                "responses": {
                    "202": {
                        "description": "It is cancelled",
                        "content": {"application/json": {"schema": {"type": "object"}}},
                    },
                    **few,
                    "409": {"$ref": "#/components/responses/Problem409"},
                },
            }
        }
    }
    if stream:
        paths["/invocations/v1/flows/{execution_id}/stream"] = {
            "get": {
                "operationId": "join",
                "summary": "Join or rejoin a run's frames",
                "parameters": [execution, last],
                "responses": {
                    "200": _frames(),
                    "204": {"description": "The final frame was received"},
                    **few,
                },
            }
        }
    return paths


def _frames() -> dict[str, Any]:
    return {
        "description": "Frames as they become durable",
        "content": {"text/event-stream": {"schema": _ref("Frame")}},
    }


def _body() -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": _ref("Request")}}}


def _problems() -> dict[str, Any]:
    return {status: {"$ref": f"#/components/responses/Problem{status}"} for status in ERRORS}


def _retry_after(status: str) -> dict[str, Any]:
    if status not in ("429", "503"):
        return {}
    header = {"description": "Seconds to wait", "schema": {"type": "integer", "minimum": 1}}
    return {"headers": {"Retry-After": header}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


_IDEMPOTENCY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key with the same request starts one run; with another request it is refused.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}
_TRACEPARENT: Final = {
    "name": "traceparent",
    "in": "header",
    "description": "W3C trace context; becomes a link of the run's trace.",
    "schema": {"type": "string"},
}
_ERROR: Final = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {
        "code": {"type": "string"},
        "message": {"type": "string"},
        "node": {"type": ["string", "null"]},
    },
}
_RESULT: Final[dict[str, Any]] = {
    "Accepted": {
        "type": "object",
        "required": ["accepted", "execution_id"],
        "properties": {
            "accepted": {"const": True},
            "execution_id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            "result": _ref("Result"),
        },
    },
    "Result": {
        "type": "object",
        "required": ["success", "completed_at"],
        "properties": {
            "success": {"type": "boolean"},
            "output": _ref("Output"),
            "error": _ERROR,
            "completed_at": {"type": "integer", "description": "Unix seconds"},
        },
    },
}
_FRAME: Final[dict[str, Any]] = {
    "Frame": {
        "type": "object",
        "required": ["execution_id", "frame_index", "is_final", "success"],
        "properties": {
            "execution_id": {"type": "string"},
            "frame_index": {"type": "integer", "minimum": 0},
            "payload": _ref("Output"),
            "is_final": {"type": "boolean"},
            "success": {"type": "boolean"},
            "error": {"type": "string"},
        },
    }
}
_PROBLEM: Final[dict[str, Any]] = {
    "Problem": {
        "type": "object",
        "description": "RFC 9457",
        "required": ["type", "title", "status", "code"],
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "instance": {"type": "string"},
            "code": {"enum": sorted(PROBLEMS)},
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["path", "message"],
                    "properties": {"path": {"type": "string"}, "message": {"type": "string"}},
                },
            },
        },
    }
}
