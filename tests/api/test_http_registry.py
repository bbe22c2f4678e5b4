"""Compiling over HTTP, artifacts with their own OpenAPI, packages, aliases with history and rollback."""

from __future__ import annotations

import asyncio
import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from http_kit import House, house, order, plan, run
from test_http_invoke import problem

from axiom.api.openapi import openapi, placed
from axiom.compiler.package import load_package
from axiom.runtime import catalog

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
COMPILE = "/registry/v1/flows/compile"
YAML = {"content-type": "application/yaml"}
CLEAN = """\
name: acme/clean
version: 1.0.0
nodes:
  - {alias: first, package: acme/kit@1.0.0, node: Clean}
  - {alias: second, package: acme/kit@1.0.0, node: Count}
edges:
  - {from: first, to: second}
"""
KIT = {
    "name": "acme/kit",
    "version": "1.0.0",
    "language": "python",
    "digest": "d" * 64,
    "messages": {
        "Text": {
            "type": "object",
            "required": ["text"],
            "properties": {"text": {"type": "string"}},
            "additionalProperties": False,
        },
        "Number": {
            "type": "object",
            "required": ["n"],
            "properties": {"n": {"type": "integer"}},
            "additionalProperties": False,
        },
    },
    "nodes": [
        {"name": "Clean", "input": "Text", "output": "Text"},
        {"name": "Count", "input": "Text", "output": "Number"},
        {"name": "Split", "input": "Text", "output": "Text", "type": "pipeline"},
    ],
}


async def compiled(at: House, source: str = CLEAN, publish: bool = True) -> dict[str, Any]:
    if publish:
        await catalog.publish_package(at.store, KIT)
    answer = await at.client.post(COMPILE, content=source, headers=YAML)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_yaml_json_and_canvas_compile_to_the_same_artifact() -> None:
    async def case() -> None:
        async with house() as at:
            first = await compiled(at)
            assert set(first) == {"graph_id", "mode", "warnings"}
            assert first["mode"] == "unary"
            as_json = await at.client.post(COMPILE, json={"flow": CLEAN})
            assert as_json.json()["graph_id"] == first["graph_id"]
            canvas = yaml.safe_load(CLEAN)
            canvas["edges"] = [{"source": "first", "target": "second"}]
            for n, node in enumerate(canvas["nodes"]):
                node["position"] = {"x": 10 * n, "y": 5}
            drawn = await at.client.post(COMPILE, json=canvas)
            assert drawn.json()["graph_id"] == first["graph_id"]
            reformatted = CLEAN.replace(
                "  - {from: first, to: second}", "  - to: second   # then\n    from: first"
            )
            assert (await compiled(at, reformatted))["graph_id"] == first["graph_id"]
            changed = await compiled(
                at, CLEAN.replace("alias: first", "alias: other").replace("from: first", "from: other")
            )
            assert changed["graph_id"] != first["graph_id"]

    run(case())


def test_subflows_are_found_by_alias_and_by_graph_id() -> None:
    parent = CLEAN.replace("name: acme/clean", "name: acme/parent")

    async def case() -> None:
        async with house() as at:
            child = (await compiled(at))["graph_id"]
            by_id = parent.replace("package: acme/kit@1.0.0, node: Count", f"flow: {child}")
            pinned = await compiled(at, by_id)
            missing = await at.client.post(COMPILE, content=by_id.replace(child, "acme/child"), headers=YAML)
            assert problem(missing, 422, "compile_failed")["diagnostics"][0]["code"] == "AX1125"
            alias = "/registry/v1/aliases/acme/child"
            assert (await at.client.put(alias, json={"graph_id": child})).status_code == 200
            assert await compiled(at, by_id.replace(child, "acme/child")) == pinned
            canvas = yaml.safe_load(by_id.replace(child, "acme/child"))
            canvas["edges"] = [{"source": edge["from"], "target": edge["to"]} for edge in canvas["edges"]]
            drawn = await at.client.post(COMPILE, json=canvas)
            assert drawn.json()["graph_id"] == pinned["graph_id"]

    run(case())


def test_every_mistake_is_told_with_code_place_and_caret() -> None:
    async def case() -> None:
        async with house() as at:
            await catalog.publish_package(at.store, KIT)
            bad = CLEAN.replace("node: Clean", "node: Claen").replace("to: second", "to: secnd")
            answer = await at.client.post(COMPILE, content=bad, headers=YAML)
            diagnostics = problem(answer, 422, "compile_failed")["diagnostics"]
            assert len(diagnostics) >= 2
            for told in diagnostics:
                assert told["code"].startswith("AX")
                assert told["line"] > 0
                assert "^" in told["snippet"]
            assert any("Clean" in told.get("suggestion", "") for told in diagnostics)
            assert await at.store.documents("artifact") == []

    run(case())


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"\xff\xfe", YAML, 422, "compile_failed"),
        (b"a: [", YAML, 422, "compile_failed"),
        (b"", YAML, 422, "compile_failed"),
        (b"&a [*a, *a]", YAML, 422, "compile_failed"),
        (b"x" * (2 << 20), YAML, 413, "body_too_large"),
        (b"{}", {"content-type": "application/json"}, 422, "invalid_request"),
        (b'{"flow": "a", "what": 1}', {"content-type": "application/json"}, 422, "invalid_request"),
        (b"<flow/>", {"content-type": "text/xml"}, 415, "unsupported_media_type"),
    ],
)
def test_what_is_no_flow_is_refused(content: bytes, headers: dict[str, str], status: int, code: str) -> None:
    async def case() -> None:
        async with house() as at:
            problem(await at.client.post(COMPILE, content=content, headers=headers), status, code)

    run(case())


def test_an_artifact_tells_its_graph_its_schemas_and_its_source() -> None:
    async def case() -> None:
        async with house() as at:
            graph_id = (await compiled(at))["graph_id"]
            told = (await at.client.get(f"/registry/v1/artifacts/{graph_id}")).json()
            assert (told["name"], told["mode"], told["entry"], told["terminal"]) == (
                "acme/clean",
                "unary",
                "first",
                "second",
            )
            assert [node["alias"] for node in told["nodes"]] == ["first", "second"]
            assert all(node["position"] is not None for node in told["nodes"])
            assert told["source"] == CLEAN
            assert told["input"]["required"] == ["text"]
            problem(await at.client.get(f"/registry/v1/artifacts/{'a' * 32}"), 404, "unknown_artifact")

    run(case())


def test_two_accounts_share_an_artifact_and_see_nothing_of_each_others_source() -> None:
    async def case() -> None:
        async with house() as at:
            graph_id = (await compiled(at))["graph_id"]
            theirs = CLEAN + "# a remark of ours\n"
            headers = {**await at.key_for("other"), **YAML}
            answer = await at.client.post(COMPILE, content=theirs, headers=headers)
            assert answer.json()["graph_id"] == graph_id
            mine = (await at.client.get(f"/registry/v1/artifacts/{graph_id}")).json()
            assert mine["source"] == CLEAN

    run(case())


def test_an_artifact_whose_bytes_were_changed_is_refused() -> None:
    async def case() -> None:
        async with house() as at:
            graph_id = await at.publish()
            document = await at.store.get("artifact", graph_id)
            assert document is not None
            broken = document.value.replace(b"first", b"fjrst")
            await at.store.put("artifact", graph_id, broken)
            catalog._CACHES.clear()
            problem(await at.invoke(graph_id), 500, "artifact_damaged")

    run(case())


def test_a_node_alone_runs_and_waits_by_default() -> None:
    async def case() -> None:
        async with house() as at:
            await catalog.publish_package(at.store, KIT)
            hand = at.hand()
            path = "/invocations/v1/nodes/acme/kit/1.0.0/Count"
            call = asyncio.create_task(at.client.post(path, json={"input": {"text": "a b"}}))
            execution_id = await hand.take()
            head = (await at.store.heads([execution_id]))[0]
            assert head is not None
            assert head.flow == "acme/kit/Count"
            await hand.complete(execution_id, {"n": 2})
            assert (await call).json()["result"]["output"] == {"n": 2}
            bad = await at.client.post(path, json={"input": {"text": 5}})
            assert problem(bad, 422, "invalid_input")["errors"][0]["path"] == "/input/text"
            later = await at.client.post(path, json={"input": {"text": "x"}, "wait": False})
            assert set(later.json()) == {"accepted", "execution_id"}
            for wrong, code in (
                ("/invocations/v1/nodes/acme/kit/1.0.0/Cuont", "unknown_node"),
                ("/invocations/v1/nodes/acme/kit/2.0.0/Count", "unknown_package"),
            ):
                problem(await at.client.post(wrong, json={"input": {}}), 404, code)
            split = "/invocations/v1/nodes/acme/kit/1.0.0/Split"
            problem(await at.client.post(split, json={"input": {"text": "x"}}), 409, "wrong_mode")

    run(case())


def test_packages_are_listed_and_a_published_version_never_changes() -> None:
    async def case() -> None:
        async with house() as at:
            assert await catalog.publish_package(at.store, KIT) == "acme/kit@1.0.0"
            await catalog.publish_package(at.store, KIT)
            other = {**KIT, "digest": "e" * 64}
            with pytest.raises(catalog.PackageTaken):
                await catalog.publish_package(at.store, other)
            await catalog.publish_package(at.store, other, replace=True)
            listed = (await at.client.get("/registry/v1/packages")).json()["packages"]
            assert [(row["name"], row["digest"]) for row in listed] == [("acme/kit", "e" * 64)]
            assert {node["name"] for node in listed[0]["nodes"]} == {"Clean", "Count", "Split"}

    run(case())


@pytest.mark.parametrize(
    "name", ["greeting", "orders", "word-counts", "documents", "claim", "nightly-batch", "loan", "billing"]
)
def test_the_examples_compile_over_http_and_describe_themselves(name: str) -> None:
    async def case() -> None:
        async with house() as at:
            package = load_package(EXAMPLES / name)
            await catalog.publish_package(at.store, package.manifest())
            source = (EXAMPLES / name / "flow.yaml").read_text()
            flow = yaml.safe_load(source)
            for node in flow["nodes"]:  # over HTTP there is no home package
                if "kind" not in node:
                    node.setdefault("package", f"{package.name}@{package.version}")
            for key in ("input", "output"):
                flow.pop(key, None)
            answer = await at.client.post(COMPILE, content=yaml.safe_dump(flow), headers=YAML)
            if answer.status_code != 200:
                pytest.fail(json.dumps(answer.json()["diagnostics"], indent=1)[:2000])
            document = (
                await at.client.get(f"/registry/v1/artifacts/{answer.json()['graph_id']}/openapi.json")
            ).json()
            check_openapi(document)

    run(case())


# --- aliases --------------------------------------------------------------------------------------------------------


def test_an_alias_moves_remembers_and_rolls_back() -> None:
    async def case() -> None:
        async with house() as at:
            one, two = await at.publish(), await at.publish(plan(nodes="other last"))
            path = "/registry/v1/aliases/acme/fulfil"
            problem(await at.client.get(path), 404, "unknown_alias")
            first = await at.client.put(path, json={"graph_id": one})
            assert (first.json()["version"], first.json()["graph_id"]) == (1, one)
            again = await at.client.put(path, json={"graph_id": one})
            assert again.json()["version"] == 1, "a move to where it stands is none"
            assert (await at.client.put(path, json={"graph_id": two})).json()["version"] == 2
            back = (await at.client.post(f"{path}/rollback")).json()
            assert (back["version"], back["graph_id"]) == (3, one)
            history = (await at.client.get(f"{path}/history")).json()["history"]
            assert [(row["version"], row["graph_id"], row["reason"]) for row in history] == [
                (3, one, "rollback"),
                (2, two, "move"),
                (1, one, "move"),
            ]
            assert all(row["by"] == "test" and row["at"] for row in history)
            far = (await at.client.post(f"{path}/rollback", json={"to": 2})).json()
            assert (far["version"], far["graph_id"]) == (4, two)
            problem(await at.client.post(f"{path}/rollback", json={"to": 9}), 404, "unknown_alias_version")
            hand = at.hand()
            body = {"flow": "acme/fulfil", "input": order()}
            started = await at.client.post("/invocations/v1/flows/invoke", json=body)
            assert await hand.take() == started.json()["execution_id"]
            head = (await at.store.heads([started.json()["execution_id"]]))[0]
            assert head is not None
            assert head.graph_id == two
            (row,) = (await at.client.get("/registry/v1/aliases")).json()["aliases"]
            assert (row["name"], row["version"]) == ("acme/fulfil", 4)

    run(case())


def test_a_move_that_expects_another_version_is_refused() -> None:
    async def case() -> None:
        async with house() as at:
            one, two = await at.publish(), await at.publish(plan(nodes="other last"))
            path = "/registry/v1/aliases/acme/fulfil"
            body = {"graph_id": one, "expect_version": 1}
            assert problem(await at.client.put(path, json=body), 409, "alias_moved")["version"] == 0
            assert (await at.client.put(path, json={**body, "expect_version": 0})).status_code == 200
            moves = [{"graph_id": two, "expect_version": 1} for _ in range(5)]
            answers = await asyncio.gather(*(at.client.put(path, json=move) for move in moves))
            assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]

    run(case())


def test_moves_at_the_same_time_are_all_recorded() -> None:
    async def case() -> None:
        async with house() as at:
            ids = [await at.publish(plan(nodes=f"n{n} last")) for n in range(8)]
            await asyncio.gather(*(catalog.move_alias(at.store, "default", "a/b", one) for one in ids))
            found = await catalog.alias(at.store, "default", "a/b")
            assert [move.version for move in found.history] == list(range(8, 0, -1))
            assert {move.graph_id for move in found.history} == set(ids)

    run(case())


@pytest.mark.parametrize("name", ["../x", "a b", "a/b/c/d/e", "-a", "x" * 201])
def test_a_name_for_a_flow_is_a_plain_one(name: str) -> None:
    async def case() -> None:
        async with house() as at:
            graph_id = await at.publish()
            from urllib.parse import quote

            answer = await at.client.put(
                f"/registry/v1/aliases/{quote(name, safe='')}", json={"graph_id": graph_id}
            )
            assert answer.status_code in (404, 422)
            assert (await at.client.get("/registry/v1/aliases")).json()["aliases"] == []

    run(case())


# --- openapi --------------------------------------------------------------------------------------------------------


def check_openapi(document: dict[str, Any]) -> None:
    """What the specification of OpenAPI 3.1 demands of a document like ours."""
    assert document["openapi"].startswith("3.1")
    assert document["info"]["title"]
    assert document["info"]["version"]
    operations = [op for path in document["paths"].values() for op in path.values()]
    assert len({op["operationId"] for op in operations}) == len(operations)
    for path, item in document["paths"].items():
        for op in item.values():
            names = {parameter["name"] for parameter in op.get("parameters", ()) if parameter["in"] == "path"}
            assert names == {part[1:-1] for part in path.split("/") if part.startswith("{")}
            assert op["responses"]
            for response in op["responses"].values():
                assert "$ref" in response or response["description"]
    for reference in references(document):
        assert reference.startswith("#/"), reference
        at: Any = document
        for step in reference[2:].split("/"):
            at = at[int(step)] if isinstance(at, list) else at[step.replace("~1", "/").replace("~0", "~")]
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        found = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return found + [ref for item in value.values() for ref in references(item)]
    if isinstance(value, list):
        return [ref for item in value for ref in references(item)]
    return []


@pytest.mark.parametrize("mode", ["unary", "pipeline"])
def test_the_openapi_of_an_artifact_is_sound_and_says_what_the_door_does(mode: str) -> None:
    async def case() -> None:
        async with house() as at:
            graph_id = await at.publish(plan(mode))
            document = (await at.client.get(f"/registry/v1/artifacts/{graph_id}/openapi.json")).json()
            check_openapi(document)
            path = "/invocations/v1/flows/invoke" + ("/stream" if mode == "pipeline" else "")
            assert path in document["paths"]
            schema = {**document["components"]["schemas"]["Request"], "components": document["components"]}
            validator = jsonschema.Draft202012Validator(schema)
            good = {"graph_id": graph_id, "input": order(lines=[{"sku": "a"}])}
            assert validator.is_valid(good)
            answer = await at.client.post(path, json={**good, "timeout_seconds": 0})
            assert answer.status_code == (200 if mode == "pipeline" else 202)
            for bad in (
                {**good, "input": order(total=-1)},
                {**good, "input": order(lines=[{}])},
                {**good, "graph_id": "b" * 32},
                {**good, "wiat": True},
            ):
                assert not validator.is_valid(bad)
                assert (await at.client.post(path, json=bad)).status_code in (404, 422)

    run(case())


def test_an_answer_fits_the_schema_that_describes_it() -> None:
    async def case() -> None:
        async with house() as at:
            graph_id, hand = await at.publish(), at.hand()
            document = (await at.client.get(f"/registry/v1/artifacts/{graph_id}/openapi.json")).json()
            schema = {"$ref": "#/components/schemas/Accepted", "components": document["components"]}
            validator = jsonschema.Draft202012Validator(schema)
            for failing in (False, True):
                call = asyncio.create_task(at.invoke(graph_id, wait=True))
                execution_id = await hand.take()
                await (hand.fail(execution_id, "c", "m") if failing else hand.complete(execution_id, [1]))
                validator.validate((await call).json())
            validator.validate((await at.invoke(graph_id)).json())
            problems = {"$ref": "#/components/schemas/Problem", "components": document["components"]}
            refused = await at.invoke(graph_id, {"order_id": 1})
            jsonschema.Draft202012Validator(problems).validate(refused.json())

    run(case())


def test_references_move_and_words_that_look_like_them_stay() -> None:
    schema = {
        "$id": "x",
        "properties": {
            "a": {"$ref": "#/$defs/A"},
            "self": {"$ref": "#"},
            "b": {"const": {"$ref": "#/$defs/A"}},
        },
        "$defs": {"A": {"enum": [{"$ref": "#"}]}},
    }
    before = copy.deepcopy(schema)
    moved = placed(schema, "In")
    assert schema == before
    assert moved["properties"]["a"] == {"$ref": "#/components/schemas/In/$defs/A"}
    assert moved["properties"]["self"] == {"$ref": "#/components/schemas/In"}
    assert moved["properties"]["b"] == {"const": {"$ref": "#/$defs/A"}}
    assert moved["$defs"]["A"] == {"enum": [{"$ref": "#"}]}
    assert "$id" not in moved
    assert placed(True, "In") is True
    assert openapi("g" * 32, plan())["components"]["schemas"]["Output"] is True
