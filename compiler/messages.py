"""Messages: JSON Schemas 2020-12 by name, that may speak of each other.

A message refers to another one of its package, or to an imported one, by its name: ``$ref: Address`` or
``$ref: "#/messages/Address"``. Other references stay inside the message (``#/$defs/Line``). A **resolved** message is
self-contained: what it refers to stands in its ``$defs``. Nothing is ever fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

import jsonschema_rs
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from .artifact import Schema
from .fields import NODE_NAME
from .model import Message, MessageId, Package
from .report import Report, listed, suggest
from .schemas import FORBIDDEN, KEYWORDS, embed, endless, pointed, walk, with_references
from .source import Scalar, Table, Tree, descend, plain

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
ANYTHING: Final = MessageId("", "", "object")
"""Any object: the input of a flow that does not say, where its entry takes all that comes; an event's payload."""
STARTED: Final = MessageId("", "", "started")
"""What a subflow gives that is not waited for."""
_BUILT_IN: Final[Mapping[MessageId, Schema]] = {
    ANYTHING: {"type": "object"},
    STARTED: {
        "type": "object",
        "properties": {"execution_id": {"type": "string"}},
        "required": ["execution_id"],
        "additionalProperties": False,
    },
}
_META: Final = Draft202012Validator(Draft202012Validator.META_SCHEMA)


def read_message(name: str, tree: Tree, report: Report) -> Message | None:
    """Return the message that ``tree`` declares if it is a valid schema; references are checked later."""
    schema = plain(tree)
    if not isinstance(tree, Table) and not (isinstance(tree, Scalar) and isinstance(tree.value, bool)):
        report.error(
            "AX1110", tree.place, f"the message `{name}` must be a JSON Schema", expected="a mapping"
        )
        return None
    valid = True
    for outer in _META.iter_errors(schema):
        error = best_match([outer]) or outer
        place = descend(tree, list(error.absolute_path)).place
        where = "/".join(str(step) for step in error.absolute_path)
        report.error("AX1110", place, f"`{name}` is no valid schema: {error.message[:200]}", found=where)
        valid = False
    if not valid:
        return None
    for path, part in walk(schema):
        _check_keywords(name, tree, path, part, report)
    return Message(name=name, schema=schema, place=tree.place)


def check_references(package: Package, trees: Mapping[str, Tree], report: Report) -> None:
    """Say which references of a package's messages lead nowhere. ``trees`` holds the messages' sources."""
    imported = {name for item in package.imports for name in item.messages}
    known = set(package.messages) | imported
    for name, message in package.messages.items():
        for path, part in walk(message.schema):
            ref = part.get("$ref")
            problem = _broken(ref, message.schema, package, known) if isinstance(ref, str) else ""
            if problem:
                tree = trees.get(name)
                place = descend(tree, [*path, "$ref"]).place if tree else message.place
                near = suggest(str(ref).removeprefix("#/messages/"), known)
                report.error(
                    "AX1111", place, problem, found=str(ref), expected=listed(known), suggestion=near
                )
    if report.failed:
        return
    for name, message in package.messages.items():
        if not _imports_any(message, imported):
            _check_compiled(name, message, Library([package]), package, report)


class Library:
    """The messages of all packages at hand, and their resolved forms, each made once."""

    def __init__(self, packages: Iterable[Package]) -> None:
        self.packages = {(package.name, package.version): package for package in packages}
        self._resolved: dict[MessageId, Schema] = {}
        self._known: dict[int, MessageId] = {}
        for message, schema in _BUILT_IN.items():
            self.add(message, schema)

    def find(self, package: Package, name: str) -> MessageId | None:
        """Return the message that ``name`` means in ``package``: its own, or an imported one."""
        if name in package.messages:
            return MessageId(package.name, package.version, name)
        for item in package.imports:
            origin = self.packages.get((item.package, item.version))
            if name in item.messages and origin and name in origin.messages:
                return MessageId(item.package, item.version, name)
        return None

    def schema(self, message: MessageId) -> Schema:
        """Return the self-contained schema of a message that ``find`` returned."""
        if message not in self._resolved:
            self.add(message, self._resolve(message))
        return self._resolved[message]

    def add(self, message: MessageId, schema: Schema) -> MessageId:
        """Take in a self-contained schema that no package declares; the message stays what it was if it is known."""
        known = self._resolved.setdefault(message, schema)
        if isinstance(known, Mapping):
            self._known.setdefault(id(known), message)
        return message

    def named(self, schema: Schema, otherwise: MessageId) -> MessageId:
        """Return the message whose schema this very object is, or ``otherwise``, as which it is taken in."""
        return self._known.get(id(schema)) or self.add(otherwise, schema)

    def list_of(self, message: MessageId, holes: bool) -> MessageId:
        """Return the message of a list of ``message``; with ``holes``, items may be null."""
        made = replace(message, name=f"{message.name}{'?' if holes else ''}[]")
        item = self.schema(message)
        options: Schema = {"anyOf": [embed(item, "#/items/anyOf/0"), {"type": "null"}]}
        return self.add(made, {"type": "array", "items": options if holes else embed(item, "#/items")})

    def _resolve(self, root: MessageId) -> Schema:
        schema = self._declared(root)
        if not isinstance(schema, Mapping):
            return schema
        pointers = {root: "#"}
        taken = set(schema.get("$defs", {}))
        pending: list[MessageId] = []

        def pointer(message: MessageId) -> str:
            if message not in pointers:
                key = message.name
                while key in taken:
                    key += "_"
                taken.add(key)
                pointers[message] = f"#/$defs/{key}"
                pending.append(message)
            return pointers[message]

        body = self._moved(root, pointer)
        definitions = dict(body.get("$defs", {}))
        while pending:
            message = pending.pop(0)
            definitions[pointers[message].removeprefix("#/$defs/")] = self._moved(message, pointer)
        return {**body, "$defs": definitions} if definitions else body

    def _moved(self, message: MessageId, pointer: Any) -> Any:
        package = self.packages[message.package, message.version]

        def move(ref: str) -> str:
            name, rest = split_reference(ref)
            target = self.find(package, name) if name else None
            base: str = pointer(target or message)
            return base + rest

        schema = self._declared(message)
        if isinstance(schema, Mapping):
            schema = {key: value for key, value in schema.items() if key not in ("$schema", "$id")}
        return with_references(schema, move)

    def _declared(self, message: MessageId) -> Schema:
        return self.packages[message.package, message.version].messages[message.name].schema


def split_reference(ref: str) -> tuple[str, str]:
    """Return the message that a ``$ref`` names ('' for the one it stands in) and the rest of the pointer.

    >>> split_reference("#/messages/Address/properties/zip"), split_reference("Address"), split_reference("#/$defs/A")
    (('Address', '/properties/zip'), ('Address', ''), ('', '/$defs/A'))
    """
    if ref.startswith("#/messages/"):
        name, slash, rest = ref.removeprefix("#/messages/").partition("/")
        return name, slash + rest
    if NODE_NAME.fullmatch(ref):
        return ref, ""
    return "", "" if ref == "#/" else ref.removeprefix("#")


def _broken(ref: str, schema: Schema, package: Package, known: set[str]) -> str:
    name, rest = split_reference(ref)
    if name:
        if name not in known:
            return f"there is no message `{name}`"
        target = package.messages.get(name)
        return f"`{ref}` leads nowhere" if target and pointed(target.schema, "#" + rest) is None else ""
    if not ref.startswith("#"):
        return "a message refers only to messages and to itself; nothing is fetched"
    return f"`{ref}` leads nowhere" if pointed(schema, ref) is None else ""


def _check_keywords(
    name: str, tree: Tree, path: tuple[str | int, ...], part: Mapping[str, Any], report: Report
) -> None:
    for key, value in part.items():
        place = descend(tree, [*path, key]).place
        if key in FORBIDDEN or (key == "$id" and path) or (key == "$schema" and value != DRAFT):
            message = f"`{name}` uses `{key}`, which messages don't allow"
            expected = DRAFT if key == "$schema" else "a `$ref` to a message or into `$defs`"
            report.error("AX1114", place, message, found=f"{key}: {value}"[:80], expected=expected)
        elif key not in KEYWORDS and suggest(key, KEYWORDS):
            message = f"`{key}` in `{name}` is no keyword of JSON Schema, and checks nothing"
            report.warn("AX1115", place, message, found=key, suggestion=suggest(key, KEYWORDS))


def _imports_any(message: Message, imported: set[str]) -> bool:
    refs = (part.get("$ref") for _, part in walk(message.schema))
    return bool(imported) and any(
        isinstance(ref, str) and split_reference(ref)[0] in imported for ref in refs
    )


def _check_compiled(name: str, message: Message, library: Library, package: Package, report: Report) -> None:
    schema = library.schema(MessageId(package.name, package.version, name))
    loop = endless(schema)
    if loop:
        report.error("AX1111", message.place, f"`{name}` refers only back to itself", found=loop)
        return
    problem = why_not_compiled(schema)
    if problem:
        report.error("AX1116", message.place, f"`{name}` can't be compiled: {problem}")


def why_not_compiled(schema: Schema) -> str:
    """Return why the validator that runs on the hot path refuses ``schema``; '' if it takes it."""
    try:
        jsonschema_rs.Draft202012Validator(dict(schema) if isinstance(schema, Mapping) else schema)
    except Exception as error:  # its errors share no base class but this
        return str(error).splitlines()[0][:200]
    return ""
