"""The pages are true: their links lead somewhere and their snippets do what they say."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from story import ROOT, Snippet, Story, snippets

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
RUN = {"bash", "python", "yaml", "json"}
TOLD = [
    page for page in PAGES if any(snippet.language in RUN for snippet in snippets(page.read_text("utf-8")))
]
KNOWN = RUN | {"", "output", "text", "graphql", "mermaid"}
WORDS = {"file", "background", "until", "exits"}


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ +(.+)$", page.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S)
    for link in LINK.findall(prose):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_snippets_are_of_a_known_kind(page: Path) -> None:
    for snippet in snippets(page.read_text("utf-8")):
        assert snippet.language in KNOWN, f"line {snippet.line}: {snippet.language!r}"
        assert set(snippet.words) <= WORDS, f"line {snippet.line}: {snippet.words}"


@pytest.mark.slow
@pytest.mark.parametrize("page", TOLD, ids=name)
def test_a_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    folder = tmp_path / "story"
    if (page.parent / "axiom.yaml").exists():
        shutil.copytree(page.parent, folder, ignore=shutil.ignore_patterns(".axiom", "__pycache__"))
    else:
        folder.mkdir()
    story = Story(folder)
    try:
        for snippet in snippets(page.read_text("utf-8")):
            try:
                story.tell(snippet)
            except AssertionError as error:
                raise AssertionError(f"{name(page)}:{snippet.line}: {error}") from error
    finally:
        story.end()


def test_a_snippet_knows_its_words_and_its_line() -> None:
    text = "# T\n\n```bash background until=ready\nx\n```\n  ```yaml file=a.yaml\n  b: 1\n  ```\n"
    assert snippets(text) == [
        Snippet("bash", {"background": "", "until": "ready"}, 3, "x\n"),
        Snippet("yaml", {"file": "a.yaml"}, 6, "b: 1\n"),
    ]


@pytest.mark.parametrize(
    "snippet",
    [
        Snippet("bash", {}, 1, "false; true"),
        Snippet("bash", {}, 1, "false | true"),
        Snippet("bash", {"exits": "3"}, 1, "exit 2"),
        Snippet("python", {}, 1, "assert False"),
        Snippet("output", {}, 1, "never said"),
    ],
)
def test_a_page_that_is_wrong_is_found_out(tmp_path: Path, snippet: Snippet) -> None:
    story = Story(tmp_path)
    with pytest.raises(AssertionError):
        story.tell(snippet)


def test_output_is_compared_in_order_and_with_gaps(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.tell(Snippet("bash", {}, 1, "echo one; echo two; echo three; exit 0"))
    story.tell(Snippet("output", {}, 2, "one\n…\nthree\n"))
    with pytest.raises(AssertionError):
        story.tell(Snippet("output", {}, 2, "two\n…\none\n"))
