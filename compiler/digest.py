"""The digest of a package's code: what an artifact pins, and what a worker must have.

It covers every file of the folder that git would not ignore, by the ``.gitignore`` files of the folder and below it;
``.git``, ``.venv``, ``__pycache__``, ``.axiom`` and compiled files are always left out, and so are the package's flows
(``flow.yaml``, ``flows/``): they are compiled, and a comment in one must not change its ``graph_id``. It is the same
on every operating system: paths are POSIX and NFC, order is by path, and the line ends of text files count as ``\\n``,
as git may check them out either way. Times, owners and modes don't count.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pathspec import GitIgnoreSpec

ALWAYS_IGNORED: Final = frozenset({".git", ".venv", "__pycache__", ".axiom"})
FLOWS: Final = frozenset({Path("flow.yaml"), Path("flows")})


def digest(folder: Path) -> str:
    """Return the SHA-256 of the folder's files, in hex."""
    whole = hashlib.sha256()
    for path in sorted(package_files(folder), key=_name):
        whole.update(f"{_name(path)}\0{_content_hash(folder / path)}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


def package_files(folder: Path) -> Iterator[Path]:
    """Yield the files that the digest covers, relative to ``folder``."""
    yield from _walk(folder, Path(), [])


def _walk(folder: Path, below: Path, specs: list[tuple[Path, GitIgnoreSpec]]) -> Iterator[Path]:
    ignore = folder / below / ".gitignore"
    if ignore.is_file():
        lines = ignore.read_text("utf-8", "replace").splitlines()
        specs = [*specs, (below, GitIgnoreSpec.from_lines(lines))]
    with os.scandir(folder / below) as found:
        for item in sorted(found, key=lambda entry: entry.name):
            path = below / item.name
            inside = item.is_dir() and not item.is_symlink()
            if (
                item.name in ALWAYS_IGNORED
                or path in FLOWS
                or item.name.endswith(".pyc")
                or _ignored(path, inside, specs)
            ):
                continue
            if inside:
                yield from _walk(folder, path, specs)
            elif item.is_file() or item.is_symlink():
                yield path


def _ignored(path: Path, directory: bool, specs: list[tuple[Path, GitIgnoreSpec]]) -> bool:
    """The deepest ``.gitignore`` that says anything about a path decides."""
    for base, spec in reversed(specs):
        relative = path.relative_to(base).as_posix() + ("/" if directory else "")
        verdict = spec.check_file(relative).include
        if verdict is not None:
            return verdict
    return False


def _content_hash(path: Path) -> str:
    if not path.is_file():  # a link to a folder, or to nothing
        return hashlib.sha256(b"link\0" + os.fsencode(os.readlink(path))).hexdigest()
    data = path.read_bytes()
    if b"\0" not in data:
        data = data.replace(b"\r\n", b"\n")
    return hashlib.sha256(data).hexdigest()


def _name(path: Path) -> str:
    return unicodedata.normalize("NFC", path.as_posix())
