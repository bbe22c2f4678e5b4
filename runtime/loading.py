"""A package's code as modules: by path, each package and digest in a world of its own.

The folder becomes a synthetic package, ``axiom_package_<name>_<hash of folder and digest>``, and its files are modules
below it; so two packages, or two digests of one, never meet in ``sys.modules``. Inside, an absolute import of the
folder's own modules (``import shared``, ``from nodes.shared import x``) is turned to them by the ``__import__`` that
these modules are given, whenever it runs. The standard library always wins over a file of the same name. The folder is
also appended to ``sys.path``, never put first, for what imports by name at run time.

No byte code is cached: it is trusted by the second and the size of a file, and a reload must not be. A ``stamp`` (the
sources' names, sizes and times) tells whether the code that is loaded is still the code whose digest was taken.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
)
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final, NamedTuple

from axiom.compiler.errors import Place

from .failures import Failure

PREFIX: Final = "axiom_package_"
_SKIPPED: Final = frozenset({".git", ".venv", "__pycache__", ".axiom", "node_modules"})


class Reference(NamedTuple):
    """Which function of which code: all that a child process needs to find it."""

    package: str
    """``name@version``, for messages."""
    folder: str
    digest: str
    entry: str
    """``path/in/package.py:function``."""
    stamp: str = ""
    """Of the sources when the digest was taken; '' is not checked (development)."""


class HandlerBroken(Exception):
    """The code is there, but it is no handler. ``code`` is stable; ``place`` is where to look."""

    def __init__(self, code: str, message: str, place: Place) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.place = place

    @property
    def failure(self) -> Failure:
        """The outcome of an attempt to call it. Not retried: the code stays what it is."""
        place = {"file": self.place.file, "line": self.place.line}
        return Failure(self.code, self.message, ("HandlerBroken", "Exception"), False, None, {"place": place})


class Looks(NamedTuple):
    """What a function is, from its source alone."""

    is_async: bool
    is_generator: bool
    line: int


def load(reference: Reference) -> Callable[..., Any]:
    """Return the function of ``reference``; importing its module runs the user's code. Raises ``HandlerBroken``."""
    path, _, name = reference.entry.partition(":")
    file = _file(reference, path)
    root = _world(reference)
    try:
        module = importlib.import_module(f"{root}.{path.removesuffix('.py').replace('/', '.')}")
    except SyntaxError as error:
        place = Place(str(error.filename or file), error.lineno or 0, error.offset or 0)
        raise HandlerBroken("handler_syntax", f"{path} is not valid Python: {error.msg}", place) from error
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, GeneratorExit)):
            raise
        text = f"{type(error).__name__}: {error}".replace(f"{root}.", "")
        place = Place(*_raised_at(error, reference.folder, str(file)))
        raise HandlerBroken("handler_import", f"{path} can't be imported: {text}", place) from error
    if reference.stamp and stamp(Path(reference.folder)) != reference.stamp:
        message = (
            f"{reference.package} was changed on disk since this worker has read it; start the worker again"
        )
        raise HandlerBroken("code_changed", message, Place(str(file)))
    function = getattr(module, name, None)
    if function is None:
        raise HandlerBroken("handler_function_missing", f"{path} defines no `{name}`", Place(str(file)))
    if not callable(function):
        raise HandlerBroken(
            "handler_function_missing", f"`{name}` in {path} is no function", Place(str(file))
        )
    return function  # type: ignore[no-any-return]


def look(reference: Reference) -> Looks | None:
    """Return what the function is without running anything; ``None`` where only running could tell (a decorator,
    an import, an assignment). Raises ``HandlerBroken`` for a missing file or a syntax error."""
    path, _, name = reference.entry.partition(":")
    file = _file(reference, path)
    try:
        body = ast.parse(file.read_bytes(), str(file)).body
    except (SyntaxError, ValueError) as error:
        place = Place(str(file), getattr(error, "lineno", 0) or 0, getattr(error, "offset", 0) or 0)
        raise HandlerBroken("handler_syntax", f"{path} is not valid Python: {error}", place) from error
    found = [item for item in body if name in _names(item)]
    if len(found) != 1 or not isinstance(found[0], (ast.FunctionDef, ast.AsyncFunctionDef)):
        return None
    function = found[0]
    if function.decorator_list:
        return None
    yields = any(isinstance(item, (ast.Yield, ast.YieldFrom)) for item in _own(function))
    return Looks(isinstance(function, ast.AsyncFunctionDef), yields, function.lineno)


def stamp(folder: Path) -> str:
    """Return a short hash that changes when a source file of the folder does."""
    found = hashlib.blake2b(digest_size=12)
    for path, info in sorted(_sources(folder)):
        found.update(
            f"{path}\0{info.st_size}\0{info.st_mtime_ns}\0{info.st_ino}\n".encode("utf-8", "replace")
        )
    return found.hexdigest()


def _sources(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name not in _SKIPPED]
        for name in files:
            if name.endswith((".py", ".so")):
                path = os.path.join(place, name)
                try:
                    yield path, os.stat(path)
                except OSError:
                    continue  # a link to nothing


def _file(reference: Reference, path: str) -> Path:
    folder = Path(reference.folder)
    file = folder / path
    parts = path.removesuffix(".py").split("/")
    if path.startswith("/") or ".." in parts or any("." in part for part in parts):
        message = f"a handler's file is below the package and has no dots in its name: {path}"
        raise HandlerBroken("handler_file_missing", message, Place(str(file)))
    if not file.is_file():
        raise HandlerBroken("handler_file_missing", f"{path} is not in {reference.package}", Place(str(file)))
    return file


def _raised_at(error: BaseException, folder: str, otherwise: str) -> tuple[str, int]:
    """The innermost line of the package that an exception came through."""
    found = (otherwise, 0)
    trace = error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if name.startswith(folder):
            found = (name, trace.tb_lineno)
        trace = trace.tb_next
    return found


def _names(item: ast.stmt) -> Iterator[str]:
    """The names that a statement, or one inside it, binds at module level."""
    if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield item.name
        return
    for node in ast.walk(item):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name
        elif isinstance(node, ast.alias):
            yield node.asname or node.name


def _own(function: ast.AST) -> Iterator[ast.AST]:
    """A function's nodes, without those of functions inside it."""
    for item in ast.iter_child_nodes(function):
        yield item
        if not isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            yield from _own(item)


# --- worlds ---------------------------------------------------------------------------------------------------------


def _world(reference: Reference) -> str:
    """Return the name of the synthetic package of a folder and digest, made on first use."""
    found = hashlib.blake2b(f"{reference.folder}\0{reference.digest}".encode(), digest_size=6).hexdigest()
    slug = re.sub(r"\W+", "_", reference.package.partition("@")[0])
    root = f"{PREFIX}{slug}_{found}"
    if root not in sys.modules:
        _install()
        world = ModuleType(root, f"The code of {reference.package}.")
        world.__path__ = [reference.folder]
        world.__spec__ = ModuleSpec(root, None, is_package=True)
        _BUILTINS[root] = {**vars(builtins), "__import__": _importer(root, Path(reference.folder))}
        sys.modules[root] = world
        if reference.folder not in sys.path:
            sys.path.append(reference.folder)
    return root


_BUILTINS: Final[dict[str, dict[str, Any]]] = {}
"""What the modules of each world have for builtins."""


def _importer(root: str, folder: Path) -> Callable[..., Any]:
    ours: dict[str, bool] = {}

    def package_import(
        name: str, globals: Any = None, locals: Any = None, fromlist: Sequence[str] = (), level: int = 0
    ) -> Any:
        top = name.partition(".")[0]
        if level == 0 and top not in ours:
            ours[top] = _is_ours(folder, top)
        if level or not ours[top]:
            return builtins.__import__(name, globals, locals, fromlist, level)
        found = builtins.__import__(f"{root}.{name}", globals, locals, fromlist, 0)
        return found if fromlist else sys.modules[f"{root}.{top}"]

    return package_import


def _is_ours(folder: Path, name: str) -> bool:
    if name in sys.stdlib_module_names or name == "axiom":
        return False
    inside = folder / name
    if inside.with_suffix(".py").is_file() or (inside / "__init__.py").is_file():
        return True
    return inside.is_dir() and next(inside.rglob("*.py"), None) is not None


class _Source(SourceFileLoader):
    """Compiles the source as it is now, and lets the module see its package first."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code = self.source_to_code(self.get_data(path), path)
        assert isinstance(code, CodeType)
        return code

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = _BUILTINS[module.__name__.partition(".")[0]]
        super().exec_module(module)


class _Finder(MetaPathFinder):
    """Finds the modules below a world's root in its folder; knows nothing of any other."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(PREFIX):
            return None
        for folder in path or ():
            finder = FileFinder(folder, (ExtensionFileLoader, EXTENSION_SUFFIXES), (_Source, [".py"]))
            spec = finder.find_spec(fullname)
            if spec is not None:
                return spec
        return None


def _install() -> None:
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
