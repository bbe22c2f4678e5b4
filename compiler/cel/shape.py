"""What is known of a value before there is one: a JSON Schema read as a type.

A **shape** is a schema and the document that its references are in. It answers the questions that a type checker
asks: of which kinds may the value be, what is its field ``x``, what are its items. Each answer errs on the side of
knowing less: it allows whatever the schema allows.

Kinds are CEL's. JSON's ``number`` is a double and ``integer`` an int, whatever way the sender spelt it; where both are
possible the value is a double.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from ..artifact import Schema
from ..containment_schemas import resolve, rewritten, schema_of, standalone
from .values import regex

Kinds = frozenset[str]
ALL: Final[Kinds] = frozenset({"null", "bool", "int", "double", "string", "list", "map"})
DYNAMIC: Final = ALL - {"int"}
"""The kinds of a value of which nothing is known; ints are doubles there until one is at hand."""
_KIND: Final = {
    "null": "null",
    "boolean": "bool",
    "integer": "int",
    "number": "double",
    "string": "string",
    "array": "list",
    "object": "map",
}


def kind_of(value: Any) -> str:
    """The kind of a JSON value."""
    if value is None:
        return "null"
    for kind, classes in (("bool", bool), ("int", int), ("double", float), ("string", str), ("map", Mapping)):
        if isinstance(value, classes):  # type: ignore[arg-type]
            return kind
    return "list"


class Property(NamedTuple):
    """What a schema says of a field."""

    shape: Shape
    required: bool


class Document:
    """A self-contained schema, and the answers about its parts, each worked out once."""

    def __init__(self, root: Schema) -> None:
        self.root = root
        self._kinds: dict[int, Kinds] = {}
        self._fields: dict[tuple[int, str], Property | None] = {}
        self._kept: list[Schema] = []

    def shape(self, schema: Schema) -> Shape:
        """A shape in this document. The schema is kept alive: its identity is the key of what is known of it."""
        self._kept.append(schema)
        return Shape(schema, self)

    def conjuncts(self, schema: Schema) -> list[Mapping[str, Any]]:
        """Schemas without ``$ref`` and ``allOf`` of importance that together say what ``schema`` says."""
        out: list[Mapping[str, Any]] = []
        seen: set[int] = set()
        waiting = [schema]
        while waiting:
            part = waiting.pop()
            if id(part) in seen or part is True:
                continue
            seen.add(id(part))
            if not isinstance(part, Mapping):
                out.append({"enum": []})
                continue
            out.append(part)
            waiting.extend(reversed(part.get("allOf", ())))
            target = resolve(part["$ref"], self.root) if "$ref" in part else None
            if target is not None:
                waiting.append(target)
        return out

    def kinds(self, schema: Schema) -> Kinds:
        """The kinds of ``schema``'s instances, or more."""
        known = self._kinds.get(id(schema))
        if known is not None:
            return known
        self._kinds[id(schema)] = ALL
        kinds = ALL
        for part in self.conjuncts(schema):
            kinds = _both(kinds, _own_kinds(part))
            for union in _unions(part):
                kinds = _both(kinds, frozenset().union(*map(self.kinds, union)))
        self._kinds[id(schema)] = kinds
        self._kept.append(schema)
        return kinds

    def field(self, schema: Schema, name: str) -> Property | None:
        """What ``schema`` says of the field ``name`` of an object; ``None`` where it doesn't know it."""
        key = (id(schema), name)
        if key in self._fields:
            return self._fields[key]
        self._fields[key] = None
        self._kept.append(schema)
        parts: list[Schema] = []
        known = required = closed = False
        for part in self.conjuncts(schema):
            own = _own_fields(part, name)
            parts += own
            known = known or bool(own)
            closed = closed or any(word in part for word in ("properties", "patternProperties"))
            closed = closed or part.get("additionalProperties") is False or bool(_constant(part))
            required = required or name in part.get("required", ()) or name in _constant(part)
            for union in _unions(part):
                found = [self.field(option, name) for option in union if "map" in self.kinds(option)]
                there = [each for each in found if each is not None]
                known, closed = known or bool(there), closed or None in found
                if there and (len(there) == len(found) or all(map(self._closed, union))):
                    parts.append(_any(each.shape.schema for each in there))
                    required = required or (len(there) == len(found) and all(each.required for each in there))
        found_property = None
        if known or not closed:
            found_property = Property(self.shape(_all(parts)), required)
        self._fields[key] = found_property
        return found_property

    def _closed(self, schema: Schema) -> bool:
        return any(part.get("additionalProperties") is False for part in self.conjuncts(schema))

    def names(self, schema: Schema, depth: int = 0) -> set[str]:
        """The field names that ``schema`` spells out, for suggestions."""
        out: set[str] = set()
        for part in self.conjuncts(schema):
            out.update(part.get("properties", ()))
            out.update(_constant(part))
            for union in _unions(part) if depth < 4 else ():
                for option in union:
                    out |= self.names(option, depth + 1)
        return out

    def items(self, schema: Schema, index: int | None = None) -> Shape:
        """The item at ``index`` of an array, or any of its items."""
        return self.shape(_all(self._members(schema, index, _own_items)))

    def values(self, schema: Schema) -> Shape:
        """Any value of an object."""
        return self.shape(_all(self._members(schema, None, _own_values)))

    def _members(self, schema: Schema, index: int | None, own: Any, depth: int = 0) -> list[Schema]:
        parts: list[Schema] = []
        for part in self.conjuncts(schema):
            parts += own(part, index)
            for union in _unions(part) if depth < 4 else ():
                parts.append(_any(_all(self._members(option, index, own, depth + 1)) for option in union))
        return [part for part in parts if part is not True]


class Shape(NamedTuple):
    """A schema in its document."""

    schema: Schema
    document: Document

    @classmethod
    def of(cls, schema: Schema) -> Shape:
        """The shape of a self-contained schema."""
        return Document(schema).shape(schema)

    @property
    def kinds(self) -> Kinds:
        """The kinds of its values; ``int`` only where no double is possible."""
        kinds = self.document.kinds(self.schema)
        return kinds - {"int"} if "double" in kinds else kinds

    def field(self, name: str) -> Property | None:
        """What is known of the field ``name``."""
        return self.document.field(self.schema, name)

    def without_null(self) -> Shape:
        """Its values but null."""
        schema = self.schema
        if isinstance(schema, Mapping) and isinstance(schema.get("type"), list) and "null" in schema["type"]:
            rest = [name for name in schema["type"] if name != "null"]
            return self.document.shape({**schema, "type": rest[0] if len(rest) == 1 else rest})
        if isinstance(schema, Mapping) and ("anyOf" in schema or "oneOf" in schema):
            word = "anyOf" if "anyOf" in schema else "oneOf"
            rest = [option for option in schema[word] if self.document.kinds(option) != {"null"}]
            return self.document.shape({**schema, word: rest})
        return self

    def standalone(self) -> Schema:
        """The schema as a document of its own: what it refers to comes along in ``$defs``."""
        schema = standalone(self.schema, self.document.root)
        return True if schema is None else schema


def _own_kinds(part: Mapping[str, Any]) -> Kinds:
    kinds = ALL
    if "type" in part:
        declared = part["type"]
        names = [declared] if isinstance(declared, str) else declared
        kinds = frozenset(_KIND[name] for name in names if name in _KIND)
    if "const" in part or "enum" in part:
        values = [part["const"]] if "const" in part else part["enum"]
        possible = frozenset(map(kind_of, values))
        kinds = _widened(possible) & kinds if "type" in part else possible
    return kinds


def _both(one: Kinds, other: Kinds) -> Kinds:
    """The kinds of what is of both; a number that is an integer is an int."""
    common = one & other
    numbers = frozenset({"int", "double"})
    if one & numbers and other & numbers and not common & numbers:
        return common | {"int"}
    return common


def _widened(kinds: Kinds) -> Kinds:
    """An int may stand where doubles may, and the other way round: ``1.0`` is an integer."""
    return kinds | {"int", "double"} if kinds & {"int", "double"} else kinds


def _unions(part: Mapping[str, Any]) -> list[Sequence[Schema]]:
    return [part[word] for word in ("anyOf", "oneOf") if word in part]


def _own_fields(part: Mapping[str, Any], name: str) -> list[Schema]:
    if name in _constant(part):
        return [schema_of(part["const"][name])]
    properties, patterns = part.get("properties", {}), part.get("patternProperties", {})
    out = [properties[name]] if name in properties else []
    out += [schema for pattern, schema in patterns.items() if _found(pattern, name)]
    if not out and part.get("additionalProperties") not in (None, False):
        out.append(part["additionalProperties"])
    return out


def _found(pattern: str, name: str) -> bool:
    try:
        return regex(pattern).search(name) is not None
    except ValueError:
        return False


def _constant(part: Mapping[str, Any]) -> Mapping[str, Any]:
    """The object that alone is valid, if there is one."""
    value = part.get("const")
    return value if isinstance(value, Mapping) else {}


def _own_items(part: Mapping[str, Any], index: int | None) -> list[Schema]:
    if isinstance(part.get("const"), (list, tuple)):
        return [_any(schema_of(item) for item in part["const"])]
    prefix, rest = part.get("prefixItems", []), part.get("items", True)
    if index is None:
        return [_any([*prefix, rest])]
    return [prefix[index] if 0 <= index < len(prefix) else rest]


def _own_values(part: Mapping[str, Any], _: int | None) -> list[Schema]:
    named = [*part.get("properties", {}).values(), *part.get("patternProperties", {}).values()]
    return [_any([*named, part.get("additionalProperties", True)])]


def _any(options: Iterable[Schema]) -> Schema:
    """A schema for what is valid for one of ``options``."""
    out: list[Schema] = []
    for option in options:
        if option is True or option == {}:
            return True
        if option is not False and option not in out:
            out.append(option)
    if not out:
        return False
    return out[0] if len(out) == 1 else {"anyOf": out}


def _all(parts: Sequence[Schema]) -> Schema:
    """A schema for what is valid for all of ``parts``."""
    if not parts:
        return True
    return parts[0] if len(parts) == 1 else {"allOf": list(parts)}


def joined(documents: Sequence[Schema]) -> tuple[list[Schema], dict[str, Schema]]:
    """The bodies of standalone schemas, for use side by side in a new one, and the ``$defs`` that they share there."""
    bodies: list[Schema] = []
    shared: dict[str, Schema] = {}
    for number, document in enumerate(documents):
        if not isinstance(document, Mapping):
            bodies.append(document)
            continue
        defs = document.get("$defs", {})
        clash = any(name in shared and shared[name] != schema for name, schema in defs.items())

        def renamed(reference: str, prefix: str = f"{number}." if clash else "") -> str:
            return reference.replace("#/$defs/", f"#/$defs/{prefix}", 1)

        for name, schema in defs.items():
            shared[f"{number}.{name}" if clash else name] = rewritten(schema, renamed)
        bodies.append(rewritten({key: v for key, v in document.items() if key != "$defs"}, renamed))
    return bodies, shared
