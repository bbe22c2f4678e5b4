"""What can be said of a handler without running it: its file is parsed, never imported.

A unary handler is ``def f(ctx, input)`` or ``async def f(ctx, input)``, a pipeline handler an async generator
``async def f(ctx, frames)``. A function that comes in through an import, an assignment or a decorator is taken on
trust: only running it could tell.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from .errors import Place
from .model import NodeType
from .report import Report, listed, suggest
from .source import MAX_BYTES

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


class Handlers:
    """The handler files of one package folder, each parsed once."""

    def __init__(self, folder: Path, report: Report, shown: Callable[[Path], str]) -> None:
        self.folder = folder
        self.report = report
        self.shown = shown
        self._parsed: dict[str, dict[str, Function | None] | None] = {}

    def check(self, node: NodeType) -> None:
        """Say what is wrong with the handler of ``node``."""
        path, _, name = node.entry.partition(":")
        place = node.at("handler")
        file = self.folder / path
        if not file.resolve().is_relative_to(self.folder.resolve()):
            self.report.error("AX1109", place, "a handler's path leaves the package", found=path)
            return
        if not file.is_file():
            near = suggest(path, (p.relative_to(self.folder).as_posix() for p in self.folder.glob("*/*.py")))
            message = f"the handler of `{node.name}` has no file"
            self.report.error("AX1104", place, message, found="no such file", expected=path, suggestion=near)
            return
        functions = self._functions(path, file)
        if functions is None:
            return
        if name not in functions:
            self.report.error(
                "AX1106",
                place,
                f"`{path}` defines no `{name}`",
                found=listed(functions) or "no functions",
                expected=f"def {name}(ctx, input)",
                suggestion=suggest(name, functions),
            )
            return
        function = functions[name]
        if function is not None and not function.decorator_list:
            self._fits(node, function, Place(self.shown(file), function.lineno, function.col_offset + 1))

    def _functions(self, path: str, file: Path) -> dict[str, Function | None] | None:
        if path not in self._parsed:
            self._parsed[path] = self._parse(file)
        return self._parsed[path]

    def _parse(self, file: Path) -> dict[str, Function | None] | None:
        shown = self.shown(file)
        try:
            data = file.read_bytes()
            if len(data) > MAX_BYTES:
                raise ValueError("larger than 1 MiB")
            tree = ast.parse(data, filename=shown)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            text = data.decode("utf-8", "replace")
            self.report.add_source(shown, text)
            line, column = (error.lineno, error.offset) if isinstance(error, SyntaxError) else (None, None)
            reason = error.msg if isinstance(error, SyntaxError) else str(error)
            self.report.error("AX1105", Place(shown, line or 0, column or 0), f"not valid Python: {reason}")
            return None
        self.report.add_source(shown, data.decode("utf-8", "replace"))
        return dict(_defined(tree.body))

    def _fits(self, node: NodeType, function: Function, place: Place) -> None:
        kind = _kind(function)
        if node.type == "pipeline":
            wanted, fits = f"async def {function.name}(ctx, frames) with a `yield`", kind == "async generator"
        elif node.isolation == "async":
            wanted, fits = f"async def {function.name}(ctx, input)", kind == "async def"
        else:
            wanted, fits = (
                f"def or async def {function.name}(ctx, input) without `yield`",
                kind in ("def", "async def"),
            )
        if not fits:
            role = "pipeline" if node.type == "pipeline" else f"{node.isolation} unary".strip()
            message = f"the handler of the {role} node `{node.name}` is of the wrong kind"
            self.report.error("AX1107", place, message, found=kind, expected=wanted)
        if not _takes_two(function.args):
            message = f"the handler of `{node.name}` must take two arguments"
            self.report.error(
                "AX1108", place, message, found=ast.unparse(function.args) or "none", expected=wanted
            )


def snake_case(name: str) -> str:
    """Return the file and function name of a node's handler.

    >>> snake_case("ReserveStock"), snake_case("HTTPGet2")
    ('reserve_stock', 'http_get2')
    """
    out = ""
    for index, char in enumerate(name):
        before = name[index - 1] if index else "_"
        after = name[index + 1] if index + 1 < len(name) else ""
        if char.isupper() and before != "_" and (not before.isupper() or after.islower()):
            out += "_"
        out += char.lower()
    return out


def _defined(body: list[ast.stmt]) -> Iterator[tuple[str, Function | None]]:
    """Names that a module binds at its top level; ``None`` for those that are no plain functions."""
    for statement in body:
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name, statement
            case ast.ClassDef(name=name):
                yield name, None
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                yield from ((alias.asname or alias.name.partition(".")[0], None) for alias in names)
            case ast.Assign(targets=targets):
                yield from ((t.id, None) for t in targets if isinstance(t, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name, None
            case ast.If(body=inner, orelse=other):
                yield from _defined(inner + other)
            case ast.Try(body=inner, handlers=handlers, orelse=other, finalbody=last):
                yield from _defined(inner + [s for h in handlers for s in h.body] + other + last)
            case ast.With(body=inner):
                yield from _defined(inner)


def _kind(function: Function) -> str:
    generator = any(isinstance(item, (ast.Yield, ast.YieldFrom)) for item in _own(function))
    if isinstance(function, ast.AsyncFunctionDef):
        return "async generator" if generator else "async def"
    return "generator" if generator else "def"


def _own(function: Function) -> Iterator[ast.AST]:
    """Walk a function's body, but not into functions and classes inside it."""
    pending: list[ast.AST] = list(function.body)
    while pending:
        item = pending.pop()
        yield item
        if not isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            pending.extend(ast.iter_child_nodes(item))


def _takes_two(arguments: ast.arguments) -> bool:
    positional = len(arguments.posonlyargs) + len(arguments.args)
    needed = positional - len(arguments.defaults)
    keyword_only = any(default is None for default in arguments.kw_defaults)
    return not keyword_only and needed <= 2 and (positional >= 2 or arguments.vararg is not None)
