"""Configs and secrets over HTTP: what is refused and where, what is kept, whose it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from http_kit import House, house, plan, run

from axiom.api.settings import Settings
from axiom.compiler.artifact import Plan
from axiom.runtime import catalog, vault
from axiom.runtime.clock import SystemClock
from axiom.runtime.store.opening import open_store
from axiom.runtime.vault import Keys

CONFIGS = "/console/v1/configs"
SECRETS = "/console/v1/secrets"
FLOW = "acme/fulfil"


def needing(*names: str) -> Plan:
    """The chain, whose first node declares secrets."""
    made = plan()
    return replace(made, nodes=(replace(made.nodes[0], required_secrets=names), *made.nodes[1:]))


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    told: dict[str, Any] = answer.json()
    assert told["code"] == code, told
    return told


async def furnished(at: House) -> str:
    """A flow under its name, and a key to seal with."""
    graph_id = await at.publish(needing("API_KEY"))
    await catalog.move_alias(at.store, "default", FLOW, graph_id)
    await vault.publish_key(at.store, Keys(vault.new_key(SystemClock())))
    return graph_id


async def put(at: House, config_id: str, **body: Any) -> httpx.Response:
    return await at.client.put(f"{CONFIGS}/{config_id}", json=body)


def test_a_config_is_written_whole_read_back_and_frozen_into_runs() -> None:
    async def case() -> None:
        async with house() as at:
            graph_id = await furnished(at)
            await at.client.put(f"{SECRETS}/STAGING_KEY", json={"value": "canary-canary"})
            first = await put(at, "default", values={"region": "us", "batch": 5})
            assert (first.status_code, first.json()["version"]) == (201, 1)
            body = {
                "values": {"region": "eu"},
                "secrets": {"API_KEY": "STAGING_KEY"},
                "nodes": {"last": {"timeout_seconds": 2.5}},
                "description": "for trials",
            }
            assert (await put(at, f"{FLOW}/staging", **body)).status_code == 201
            again = await put(at, f"{FLOW}/staging", **body)
            assert (again.status_code, again.json()["version"]) == (200, 2)
            told = (await at.client.get(f"{CONFIGS}/{FLOW}/staging")).json()
            assert {name: told[name] for name in body} == body
            assert told["flow"] == FLOW
            rows = (await at.client.get(CONFIGS)).json()["configs"]
            assert [(row["config_id"], row["flow"], row["version"]) for row in rows] == [
                (f"{FLOW}/staging", FLOW, 2),
                ("default", None, 1),
            ]
            only = (await at.client.get(CONFIGS, params={"flow": FLOW})).json()["configs"]
            assert len(only) == 1
            execution_id = await at.start(graph_id, config_id=f"{FLOW}/staging")
            await put(at, f"{FLOW}/staging", values={"region": "later"})
            frozen = (await at.client.get(f"/invocations/v1/executions/{execution_id}/config")).json()
            assert frozen == {
                "config_id": f"{FLOW}/staging",
                "profiles": [
                    {"config_id": "default", "version": 1},
                    {"config_id": f"{FLOW}/staging", "version": 2},
                ],
                "values": {"region": "eu", "batch": 5},
                "secrets": {"API_KEY": "STAGING_KEY"},
                "nodes": {"last": {"timeout_seconds": 2.5}},
            }
            assert (await at.client.delete(f"{CONFIGS}/{FLOW}/staging")).status_code == 204
            problem(await at.client.get(f"{CONFIGS}/{FLOW}/staging"), 404, "unknown_config")
            problem(await at.invoke(graph_id, config_id=f"{FLOW}/staging"), 404, "unknown_config")
            assert (await at.client.get(f"/invocations/v1/executions/{execution_id}/config")).json() == frozen

    run(case())


@pytest.mark.parametrize(
    ("config_id", "body", "path"),
    [
        (f"{FLOW}/x", {"nodes": {"lost": {"timeout_seconds": 1}}}, "/nodes/lost"),
        (f"{FLOW}/x", {"nodes": {"last": {"timeout_seconds": 0}}}, "/nodes/last/timeout_seconds"),
        (f"{FLOW}/x", {"nodes": {"last": {"timeout_seconds": True}}}, "/nodes/last/timeout_seconds"),
        (f"{FLOW}/x", {"nodes": {"last": {"timeout": 1}}}, "/nodes/last"),
        (f"{FLOW}/x", {"nodes": [1]}, "/nodes"),
        ("x", {"nodes": {"last": {"timeout_seconds": 1}}}, "/nodes"),
        (f"{FLOW}/x", {"secrets": {"API_KEY": "NOBODY"}}, "/secrets/API_KEY"),
        (f"{FLOW}/x", {"secrets": {"OTHER": "API_KEY"}}, "/secrets/OTHER"),
        ("x", {"secrets": {"A B": "API_KEY"}}, "/secrets/A B"),
        ("x", {"secrets": "API_KEY"}, "/secrets"),
        ("x", {"values": [1]}, "/values"),
        ("x", {"values": {"a": 2**70}}, None),
        ("x", {"values": {"a": "x" * 20_000}}, ""),
        ("x", {"value": {}}, "/value"),
        ("x", {"expect": -1}, "/expect"),
    ],
)
def test_what_a_config_says_wrong_is_refused_with_its_place(
    config_id: str, body: dict[str, Any], path: str | None
) -> None:
    async def case() -> None:
        async with house() as at:
            await furnished(at)
            answer = await at.client.put(f"{CONFIGS}/{config_id}", json=body)
            if path is None:
                assert answer.status_code in (400, 422)
                return
            assert path in [told["path"] for told in problem(answer, 422, "invalid_request")["errors"]]
            assert (await at.client.get(CONFIGS)).json() == {"configs": []}

    run(case())


def test_a_misspelt_node_is_told_with_the_nearest_one() -> None:
    async def case() -> None:
        async with house() as at:
            await furnished(at)
            answer = await put(at, f"{FLOW}/x", nodes={"lats": {"timeout_seconds": 1}})
            assert "did you mean 'last'?" in answer.text

    run(case())


def test_a_config_of_another_flow_or_for_a_node_that_is_gone_fits_no_run() -> None:
    async def case() -> None:
        async with house() as at:
            graph_id = await furnished(at)
            other = await at.publish(plan(name="acme/other", nodes="one two"))
            await put(at, f"{FLOW}/x", nodes={"last": {"timeout_seconds": 1}})
            told = problem(await at.invoke(other, config_id=f"{FLOW}/x"), 422, "config_unfit")
            assert told["errors"][0]["path"] == "/config_id"
            shorter = await at.publish(plan(nodes="first end"))
            told = problem(await at.invoke(shorter, config_id=f"{FLOW}/x"), 422, "config_unfit")
            assert told["errors"][0]["place"] == "/nodes/last"
            await at.start(graph_id, config_id=f"{FLOW}/x")

    run(case())


def test_two_who_change_a_config_at_once_do_not_overwrite_each_other() -> None:
    async def case() -> None:
        async with house() as at:
            assert (await put(at, "x", values={"n": 1}, expect=0)).status_code == 201
            told = problem(await put(at, "x", values={"n": 2}, expect=0), 409, "config_moved")
            assert told["version"] == 1
            assert (await at.client.get(f"{CONFIGS}/x", params={"version": 1})).json()["values"] == {"n": 1}
            problem(await at.client.get(f"{CONFIGS}/x", params={"version": 2}), 404, "unknown_config")

    run(case())


def test_another_accounts_configs_and_secrets_are_not_there() -> None:
    async def case() -> None:
        async with house() as at:
            await furnished(at)
            await put(at, "x", values={"n": 1})
            await at.client.put(f"{SECRETS}/K", json={"value": "canary-canary"})
            stranger = await at.key_for("stranger")
            for method, path, code in (
                ("GET", f"{CONFIGS}/x", "unknown_config"),
                ("DELETE", f"{CONFIGS}/x", "unknown_config"),
                ("PUT", f"{CONFIGS}/{FLOW}/x", "unknown_alias"),
                ("GET", f"{SECRETS}/K", "unknown_secret"),
                ("DELETE", f"{SECRETS}/K", "unknown_secret"),
                ("POST", f"{SECRETS}/K/rotate", "unknown_secret"),
            ):
                problem(await at.client.request(method, path, headers=stranger), 404, code)
            assert (await at.client.get(SECRETS, headers=stranger)).json() == {"secrets": []}
            reader = await at.key_for(scopes=("read",))
            assert (await at.client.get(CONFIGS, headers=reader)).status_code == 200
            problem(await at.client.put(f"{CONFIGS}/x", json={}, headers=reader), 403, "missing_scope")
            problem(await at.client.get(SECRETS, headers=reader), 403, "missing_scope")

    run(case())


def test_a_secret_is_set_once_rotated_listed_and_deleted_and_never_told() -> None:
    async def case() -> None:
        async with house() as at:
            await furnished(at)
            answers = [await at.client.put(f"{SECRETS}/API_KEY", json={"value": "canary-one"})]
            assert (answers[0].status_code, answers[0].json()["version"]) == (201, 1)
            answers.append(await at.client.put(f"{SECRETS}/API_KEY", json={"value": "canary-two"}))
            problem(answers[-1], 409, "secret_exists")
            answers.append(
                await at.client.put(f"{SECRETS}/API_KEY", json={"value": "canary-two", "replace": True})
            )
            assert (answers[-1].status_code, answers[-1].json()["version"]) == (200, 2)
            answers.append(await at.client.post(f"{SECRETS}/API_KEY/rotate", json={"value": "canary-three"}))
            assert answers[-1].json()["version"] == 3
            answers.append(await at.client.get(SECRETS))
            answers.append(await at.client.get(f"{SECRETS}/API_KEY"))
            assert (await at.client.delete(f"{SECRETS}/API_KEY")).status_code == 204
            answers.append(await at.client.get(f"{SECRETS}/API_KEY"))
            problem(answers[-1], 404, "unknown_secret")
            assert not any("canary" in answer.text for answer in answers)

    run(case())


@pytest.mark.parametrize("value", ["short-1", "", 5, None, "x" * 70_000, ["canary-canary"]])
def test_a_value_that_can_not_be_kept_is_refused_with_its_place(value: Any) -> None:
    async def case() -> None:
        async with house() as at:
            await furnished(at)
            answer = await at.client.put(f"{SECRETS}/K", json={"value": value})
            assert problem(answer, 422, "invalid_request")["errors"][0]["path"] == "/value"
            assert "canary" not in answer.text
            assert "short-1" not in answer.text

    run(case())


def test_a_name_that_no_node_could_declare_is_refused() -> None:
    async def case() -> None:
        async with house() as at:
            await furnished(at)
            problem(
                await at.client.put(f"{SECRETS}/1-x", json={"value": "canary-canary"}), 422, "invalid_request"
            )

    run(case())


def test_without_a_worker_that_has_a_key_nothing_can_be_sealed() -> None:
    async def case() -> None:
        async with house(Settings(store="memory:")) as at:
            problem(
                await at.client.put(f"{SECRETS}/K", json={"value": "canary-canary"}),
                409,
                "secrets_key_missing",
            )

    run(case())


def test_on_an_embedded_store_the_first_secret_makes_a_key_beside_it(tmp_path: Path) -> None:
    async def case() -> None:
        url = f"sqlite:///{tmp_path}/x.db"
        async with house(Settings(store=url), open_store(url)) as at:
            assert (await at.client.put(f"{SECRETS}/K", json={"value": "canary-canary"})).status_code == 201
            file = tmp_path / "x.db.key"
            assert file.stat().st_mode & 0o777 == 0o600
            found = await vault.open_secrets(
                at.store, Keys(file=file), lambda name: None, "default", {"K": "K"}
            )
            assert found.values == {"K": "canary-canary"}

    run(case())
    for path in tmp_path.iterdir():
        if path.is_file():
            assert b"canary" not in path.read_bytes()
