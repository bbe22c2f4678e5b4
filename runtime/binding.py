"""A handler's function in use: found, checked, given its argument, and its result made data.

What worker and child process share; the child needs no more of the package than this.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from axiom.compiler.errors import Place

from .arguments import Unsupported, decoder
from .failures import Failure
from .loading import HandlerBroken, Looks, Reference, load
from .values import NotPlain, plain


class WrongResult(ValueError):
    """A handler returned what is no JSON data. Its message names what, and where."""

    code = "output_invalid"

    @property
    def failure(self) -> Failure:
        """The attempt's outcome. Not retried: code that returns the wrong type does it again."""
        return Failure(self.code, str(self), ("WrongResult", "ValueError", "Exception"), retryable=False)


def encode(result: Any) -> Any:
    """Return a handler's result as JSON data; the same object if it is that already. Raises ``WrongResult``."""
    try:
        return plain(result)
    except NotPlain as error:
        where = f" at {error.path}" if error.path else ""
        raise WrongResult(f"the handler returned{where} {error.problem}") from error
    except Exception as error:
        raise WrongResult(
            f"the handler returned a {type(result).__name__} that can't be read: {error}"
        ) from error


def bound(reference: Reference) -> Callable[..., Any]:
    """Return the function of ``reference``, which takes two arguments. Raises ``HandlerBroken``."""
    function = load(reference)
    try:
        inspect.signature(function).bind(None, None)
    except TypeError as error:
        message = f"{reference.entry} is called with (ctx, input): {error}"
        raise HandlerBroken("handler_signature", message, _place(reference, function)) from error
    except ValueError:
        pass  # a builtin without a signature
    return function


def argument_decoder(reference: Reference, function: Callable[..., Any]) -> Callable[[Any], Any] | None:
    """Return ``arguments.decoder(function)``; raises ``HandlerBroken``."""
    try:
        return decoder(function)
    except (Unsupported, ValueError) as error:
        message = f"{reference.entry}: {error}"
        raise HandlerBroken("handler_annotation", message, _place(reference, function)) from error


def _place(reference: Reference, function: Callable[..., Any]) -> Place:
    code = getattr(inspect.unwrap(function), "__code__", None)
    file = str(Path(reference.folder, reference.entry.partition(":")[0]))
    return Place(file, 0) if code is None else Place(code.co_filename, code.co_firstlineno)


def looks_of(function: Callable[..., Any]) -> Looks:
    """Return what a function, or an object that can be called, is."""
    target = function if inspect.isroutine(function) else getattr(type(function), "__call__", function)  # noqa: B004
    streams = inspect.isasyncgenfunction(target)
    line = getattr(getattr(target, "__code__", None), "co_firstlineno", 0)
    return Looks(
        streams or inspect.iscoroutinefunction(target),
        streams or inspect.isgeneratorfunction(target),
        line,
    )
