"""Reading a table of known keys.

``Fields`` is the one way in which the compiler takes values out of a tree: it names unknown keys with what was
probably meant, missing ones, and values of a wrong type, each with its place, and then goes on with a default, so
that one mistake hides no other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

from .errors import Place
from .report import Report, listed, suggest
from .source import Items, Scalar, Table, Tree, plain

NODE_NAME: Final = re.compile(r"[A-Z][A-Za-z0-9_]*")
"""Of nodes and messages. The capital tells a message's name from a keyword of JSON Schema."""
ALIAS: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""Of nodes in a flow: an identifier, for expressions say ``inputs.ALIAS``."""
PACKAGE_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9_.-]*[a-z0-9])?/[a-z0-9](?:[a-z0-9_.-]*[a-z0-9])?")
FLOW_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(?:/[A-Za-z0-9][A-Za-z0-9_.-]*)*")
EVENT_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")
NOTIFY_URL: Final = re.compile(r"https?://[^\s/?#@]+(?:[/?][^\s#]*)?")
VERSION: Final = re.compile(
    r"(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?"
)
MAX_NAME: Final = 200
"""Names stand in keys of stores and in file names."""


class Fields:
    """The keys of one table. ``what`` names the table in messages: ``a node``, ``the flow``."""

    def __init__(self, tree: Tree, report: Report, what: str, known: Collection[str]) -> None:
        self.report = report
        self.what = what
        self.place = tree.place
        self.places: dict[str, Place] = {}
        self._entries: dict[str, Tree] = {}
        self.readable = isinstance(tree, Table)
        if not isinstance(tree, Table):
            self.wrong(tree, "a mapping", what)
            return
        for entry in tree.entries:
            if entry.key in known and isinstance(entry.value, Scalar) and entry.value.value is None:
                continue  # null says as much as leaving the key out
            if entry.key in known:
                self._entries[entry.key] = entry.value
                self.places[entry.key] = entry.value.place
            else:
                report.error(
                    "AX1020",
                    entry.place,
                    f"{what} has no key `{entry.key}`",
                    found=entry.key,
                    expected=listed(known, 40),
                    suggestion=suggest(entry.key, known),
                )

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def get(self, key: str) -> Tree | None:
        """Return the tree of ``key``; ``None`` where it is absent or null."""
        return self._entries.get(key)

    def at(self, key: str) -> Place:
        """Return the place of the value of ``key``, or of the whole table."""
        return self.places.get(key, self.place)

    def require(self, *keys: str) -> None:
        """Complain about each of ``keys`` that is absent."""
        for key in keys if self.readable else ():
            if key not in self:
                self.report.error("AX1021", self.place, f"{self.what} needs the key `{key}`", expected=key)

    def text(
        self, key: str, default: str = "", pattern: re.Pattern[str] | None = None, like: str = ""
    ) -> str:
        """Return a string; ``pattern`` says how it must be spelled and ``like`` gives an example of that."""
        tree = self.get(key)
        if tree is None:
            return default
        if not isinstance(tree, Scalar) or not isinstance(tree.value, str):
            self.wrong(tree, "a string", f"`{key}`")
            return default
        if pattern and (not pattern.fullmatch(tree.value) or len(tree.value) > MAX_NAME):
            message = f"`{key}` of {self.what} is not spelled as it must be"
            self.report.error("AX1025", tree.place, message, found=tree.value[:80], expected=f"like `{like}`")
        return tree.value

    def flag(self, key: str, default: bool = False) -> bool:
        """Return a boolean."""
        tree = self.get(key)
        if tree is None:
            return default
        if isinstance(tree, Scalar) and isinstance(tree.value, bool):
            return tree.value
        self.wrong(tree, "true or false", f"`{key}`")
        return default

    def number(
        self, key: str, default: float, low: float, high: float = float("inf"), *, above: bool = False
    ) -> float:
        """Return a number from ``low`` (excluded if ``above``) to ``high``."""
        tree = self.get(key)
        if tree is None:
            return default
        if (
            not isinstance(tree, Scalar)
            or isinstance(tree.value, bool)
            or not isinstance(tree.value, (int, float))
        ):
            self.wrong(tree, "a number", f"`{key}`")
            return default
        value = tree.value
        if value < low or value > high or (above and value == low):
            expected = f"{'>' if above else '≥'} {low:g}" + (
                f" and ≤ {_plain(high)}" if high != float("inf") else ""
            )
            message = f"`{key}` of {self.what} is out of range"
            self.report.error("AX1024", tree.place, message, found=f"{value:g}", expected=expected)
            return default
        return value

    def integer(self, key: str, default: int, low: int, high: int = (1 << 53) - 1) -> int:
        """Return a whole number from ``low`` to ``high``."""
        value = self.number(key, default, low, high)
        if value != int(value):
            self.wrong(self._entries[key], "a whole number", f"`{key}`")
            return default
        return int(value)

    def choice(self, key: str, default: Any, choices: Collection[str]) -> Any:
        """Return one of ``choices``; ``Any`` so that it fits a ``Literal``."""
        value = self.text(key, default)
        if value in choices or value == default:
            return value
        self.report.error(
            "AX1023",
            self.at(key),
            f"`{key}` of {self.what} can't be `{value[:80]}`",
            found=value[:80],
            expected=listed(choices),
            suggestion=suggest(value, choices),
        )
        return default

    def items(self, key: str) -> tuple[Tree, ...]:
        """Return the elements of a sequence."""
        tree = self.get(key)
        if tree is None:
            return ()
        if isinstance(tree, Items):
            return tree.items
        self.wrong(tree, "a list", f"`{key}`")
        return ()

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of strings."""
        return tuple(self._each(key, str, "a string"))

    def integers(self, key: str) -> tuple[int, ...]:
        """Return a list of whole numbers that are not negative."""
        out = []
        for item in self._each(key, int, "a whole number"):
            if isinstance(item, bool) or item < 0:
                self.report.error(
                    "AX1024", self.at(key), f"`{key}` holds {item}", expected="whole numbers ≥ 0"
                )
            else:
                out.append(item)
        return tuple(out)

    def table(self, key: str) -> Table | None:
        """Return a mapping."""
        tree = self.get(key)
        if tree is None or isinstance(tree, Table):
            return tree
        self.wrong(tree, "a mapping", f"`{key}`")
        return None

    def data(self, key: str) -> Any:
        """Return whatever stands there as plain data."""
        tree = self.get(key)
        return None if tree is None else plain(tree)

    def wrong(self, tree: Tree, expected: str, name: str) -> None:
        """Complain about the type of ``tree``."""
        message = f"{name} of {self.what}" if name != self.what else name
        self.report.error(
            "AX1022", tree.place, f"{message} must be {expected}", found=shown(tree), expected=expected
        )

    def _each(self, key: str, kind: type, expected: str) -> Iterator[Any]:
        for item in self.items(key):
            if isinstance(item, Scalar) and isinstance(item.value, kind):
                yield item.value
            else:
                self.wrong(item, expected, f"an element of `{key}`")


def _plain(number: float) -> str:
    """A bound in words; whole ones without an exponent."""
    return f"{int(number):,}" if number == int(number) else f"{number:g}"


def shown(tree: Tree) -> str:
    """Return a few words on what a tree is, for messages."""
    if isinstance(tree, Table):
        return "a mapping"
    if isinstance(tree, Items):
        return "a list"
    words: dict[type, Callable[[Any], str]] = {
        str: lambda v: f"the string `{v[:60]}`",
        bool: lambda v: str(v).lower(),
        type(None): lambda v: "null",
    }
    return words.get(type(tree.value), lambda v: f"the number {v}")(tree.value)
