"""From a node of a plan to the function that runs it.

``Packages`` is the code that a worker has: it reads package folders, knows their digests, and binds a node to its
handler only if the digest is the one that the artifact pins (in development drift is allowed, and the engine says so in
an event). ``Handler`` is that function with what surrounds it: where it runs, how its argument is made from data, and
how its result becomes data again.

A plain ``def`` that runs in a child process is never imported here: its source is looked at, and that is enough. So
neither its imports nor their crashes reach the worker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol

from axiom.compiler.artifact import Node
from axiom.compiler.errors import Place
from axiom.compiler.package import load_package

from .binding import WrongResult, argument_decoder, bound, encode, looks_of
from .loading import HandlerBroken, Reference, look, stamp

__all__ = ["Handler", "HandlerBroken", "HandlerMissing", "Packages", "Reference", "WrongResult"]


class PackageCode(Protocol):
    """What is asked of a package: ``compiler.model.Package`` has it."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def digest(self) -> str: ...


class HandlerMissing(Exception):
    """This worker doesn't have the code that the artifact pins. ``have`` is '' if it doesn't know the package."""

    code = "handler_missing"

    def __init__(self, package: str, wanted: str, have: str) -> None:
        self.package = package
        self.wanted = wanted
        self.have = have
        what = f"has other code ({have[:12]})" if have else "does not have it"
        super().__init__(f"{package} is wanted with code {wanted[:12] or 'any'}; this worker {what}")


class Handler:
    """One node's function, bound.

    ``decode`` is ``None`` where data is passed as it is. ``isolation`` is ``async``, ``thread`` or ``process``; in the
    last case the worker sends ``reference`` to a child and has no use for ``function``, which is imported on demand.
    """

    encode: Final = staticmethod(encode)

    def __init__(self, reference: Reference, node: Node) -> None:
        self.reference: Final = reference
        looks = look(reference)
        if looks is None:
            looks = looks_of(self.function)
        self.is_async: Final = looks.is_async
        self.is_generator: Final = looks.is_generator
        self.place: Final = Place(
            str(Path(reference.folder, reference.entry.partition(":")[0])), looks.line, 0
        )
        self.isolation: Final = self._isolation(node)
        if self.isolation != "process":
            self.function, self.decode  # noqa: B018  # what is wrong with them shows now, not in a run

    @cached_property
    def function(self) -> Callable[..., Any]:
        """The user's function; importing its module on first use."""
        return bound(self.reference)

    @cached_property
    def decode(self) -> Callable[[Any], Any] | None:
        """What makes the second argument from data, or ``None``."""
        return argument_decoder(self.reference, self.function)

    def _isolation(self, node: Node) -> str:
        name = self.reference.entry
        if node.type == "pipeline":
            if not (self.is_async and self.is_generator):
                raise self._broken(
                    "handler_kind", f"{name} must be an async generator: a pipeline node yields"
                )
            if node.isolation not in ("", "async"):
                raise self._broken("handler_isolation", f"{name}: pipeline nodes run on the loop only")
            return "async"
        if self.is_generator:
            raise self._broken("handler_kind", f"{name} yields; only a node of `type: pipeline` may")
        if node.isolation == "async" and not self.is_async:
            raise self._broken("handler_isolation", f"{name} must be `async def` for `isolation: async`")
        return node.isolation or ("async" if self.is_async else "process")

    def _broken(self, code: str, message: str) -> HandlerBroken:
        return HandlerBroken(code, message, self.place)


class Packages:
    """The packages that this worker has. Two folders may hold two digests of one package."""

    def __init__(self, folders: Sequence[Path], read: Callable[[Path], PackageCode] = load_package) -> None:
        self._folders: Final = tuple(folder.resolve() for folder in folders)
        self._read: Final = read
        self._code: dict[str, dict[str, Reference]] = {}
        self.digests: dict[str, str] = {}
        """``name@version`` → digest; of the last folder, if two hold it."""
        self.reload()

    def reload(self) -> list[str]:
        """Read the folders again; return the ``name@version`` of those with new code. What is bound stays bound.

        Raises ``CompileFailed`` and leaves everything as it was if a folder has errors.
        """
        code: dict[str, dict[str, Reference]] = {}
        digests: dict[str, str] = {}
        for folder in self._folders:
            seen = stamp(folder)
            package = self._read(folder)
            key = f"{package.name}@{package.version}"
            found = Reference(key, str(folder), package.digest, "", seen)
            code.setdefault(key, {})[package.digest] = found
            digests[key] = package.digest
        changed = [key for key, digest in digests.items() if self.digests.get(key) != digest]
        self._code, self.digests = code, digests
        return changed

    def holds(self, package: str, digest: str) -> bool:
        """Whether this worker has that code of ``package`` (``name@version``)."""
        return digest in self._code.get(package, ())

    def handler(self, node: Node, drift: bool) -> Handler:
        """Return the handler of a node. Raises ``HandlerMissing`` or ``HandlerBroken``.

        With ``drift`` other code of the same package will do; its digest is ``handler.reference.digest``.
        """
        package = f"{node.package}@{node.version}"
        found = self._code.get(package, {}).get(node.digest)
        if found is None and (drift or not node.digest):
            found = self._any(package, node.package)
        if found is None:
            raise HandlerMissing(package, node.digest, self.digests.get(package, ""))
        return Handler(found._replace(entry=node.entry, stamp="" if drift else found.stamp), node)

    def _any(self, package: str, name: str) -> Reference | None:
        """The code of that version; else of whatever version there is."""
        keys = [package, *(key for key in self._code if key.rpartition("@")[0] == name)]
        return next((self._code[key][self.digests[key]] for key in keys if key in self._code), None)
