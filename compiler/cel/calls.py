"""The functions of the subset: what they take and what they give. Their bodies are in ``values.py``."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from .shape import ALL, Kinds

NUMBERS: Final[Kinds] = frozenset({"int", "double"})
TEXT: Final[Kinds] = frozenset({"string"})
SIZED: Final[Kinds] = frozenset({"string", "list", "map"})

BOOL: Final = {"type": "boolean"}
INT: Final = {"type": "integer"}
DOUBLE: Final = {"type": "number"}
STRING: Final = {"type": "string"}


class Signature(NamedTuple):
    """Kinds per argument, the schema of the result, and whether it is written ``f(x)``, ``x.f()`` or either."""

    arguments: tuple[Kinds, ...]
    result: dict[str, Any]
    form: str = "call"


SIGNATURES: Final[dict[str, Signature]] = {
    "size": Signature((SIZED,), {"type": "integer", "minimum": 0}, "either"),
    "string": Signature((NUMBERS | TEXT | {"bool"},), STRING),
    "int": Signature((NUMBERS | TEXT,), INT),
    "double": Signature((NUMBERS | TEXT,), DOUBLE),
    "bool": Signature((TEXT | {"bool"},), BOOL),
    "toJson": Signature((ALL,), STRING),
    "contains": Signature((TEXT, TEXT), BOOL, "method"),
    "startsWith": Signature((TEXT, TEXT), BOOL, "method"),
    "endsWith": Signature((TEXT, TEXT), BOOL, "method"),
    "matches": Signature((TEXT, TEXT), BOOL, "either"),
    "lowerAscii": Signature((TEXT,), STRING, "method"),
    "upperAscii": Signature((TEXT,), STRING, "method"),
    "trim": Signature((TEXT,), STRING, "method"),
}
