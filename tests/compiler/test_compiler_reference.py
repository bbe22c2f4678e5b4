"""The page of ``flow.yaml`` is that of the parser: every key, and no other."""

from __future__ import annotations

from compiler_kit import HERE

from axiom.compiler import configs, parse, reference

ROOT = HERE.parent.parent


def test_every_key_is_on_the_page_and_no_other() -> None:
    assert list(reference.FLOW) == parse.FLOW_KEYS
    assert set(reference.NODE) == set(parse.NODE_KEYS)
    assert list(reference.EDGE) == parse.EDGE_KEYS
    assert set(reference.CONFIG) == {key for keys in configs.CONFIG_KEYS.values() for key in keys}
    assert list(reference.RETRY) == configs.RETRY_KEYS
    assert list(reference.JOIN) == configs.JOIN_KEYS
    assert list(reference.PAUSE) == configs.PAUSE_KEYS
    assert list(reference.MAP) == configs.MAP_KEYS


def test_every_policy_and_kind_is_explained() -> None:
    page = reference.reference()
    for word in (*configs.TIMEOUT_POLICIES, *configs.JOINS, *configs.FAILURE_POLICIES, *parse.KINDS):
        assert word in page


def test_the_page_is_not_stale() -> None:
    page = (ROOT / "docs" / "reference" / "flow.md").read_text()
    assert page == reference.reference(), "python -m axiom.compiler.reference > docs/reference/flow.md"
