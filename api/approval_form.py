"""A form from a JSON Schema, and the value from what it sends.

An object with properties becomes a field for each; anything else one field. What has no field of its own (lists, nested
objects) is typed as JSON. The form only helps to type: the answer is judged by the schema, at the same door as all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from axiom.compiler.artifact import Schema

PREFIX: Final = "f."
"""Of the names of a form's fields: the rest is the property."""
WHOLE: Final = ""
"""The name of the only field, where the answer is no object."""
LINE: Final = 200
"""Characters of a text that gets one line to be typed in."""
REFERENCES: Final = 16
"""``$ref`` after ``$ref`` that are followed."""
INPUT_TYPES: Final = {"date": "date", "email": "email", "uri": "url", "time": "time"}


class Field(NamedTuple):
    """One field. ``kind``: ``choice``, ``flag``, ``number``, ``integer``, ``text``, ``long``, ``json`` or ``fixed``."""

    name: str
    label: str
    kind: str
    required: bool
    hint: str
    schema: Mapping[str, Any]


def fields(schema: Schema) -> list[Field]:
    """Return the fields of a form for ``schema``."""
    root = schema if isinstance(schema, Mapping) else {}
    top = _resolved(root, root)
    properties = top.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        return [_field(WHOLE, top, True)]
    required = top.get("required") or ()
    return [_field(name, _resolved(inner, root), name in required) for name, inner in properties.items()]


def value_of(form: Mapping[str, str], schema: Schema) -> tuple[Any, dict[str, str]]:
    """Return the value that a form was filled with, and what could not be read, by the field's name."""
    wrong: dict[str, str] = {}
    found: dict[str, Any] = {}
    for field in fields(schema):
        text = form.get(PREFIX + field.name, "")
        if field.kind == "fixed":
            found[field.name] = field.schema["const"]
        elif text != "" or (field.required and field.kind in ("text", "long")):
            try:
                found[field.name] = _read(field, text)
            except (ValueError, IndexError):
                wrong[field.name] = f"can't be read as {WORDS[field.kind]}"
    if any(field.name == WHOLE for field in fields(schema)):
        return found.get(WHOLE), wrong
    return found, wrong


WORDS: Final = {
    "choice": "one of the choices",
    "flag": "yes or no",
    "number": "a number",
    "integer": "a whole number",
    "text": "a text",
    "long": "a text",
    "json": "JSON",
}


def _field(name: str, schema: Mapping[str, Any], required: bool) -> Field:
    label = schema.get("title") or name or "Answer"
    return Field(name, str(label), _kind(schema), required, str(schema.get("description") or ""), schema)


def _kind(schema: Mapping[str, Any]) -> str:
    if "const" in schema:
        return "fixed"
    if isinstance(schema.get("enum"), list):
        return "choice"
    type_ = schema.get("type")
    if isinstance(type_, list):
        type_ = next((one for one in type_ if one != "null"), None)
    if type_ == "string":
        most = schema.get("maxLength")
        return "long" if isinstance(most, int) and most > LINE else "text"
    return {"boolean": "flag", "integer": "integer", "number": "number"}.get(str(type_), "json")


def _read(field: Field, text: str) -> Any:
    match field.kind:
        case "choice":
            if not text.isdigit():
                raise ValueError(text)
            return field.schema["enum"][int(text)]
        case "flag":
            return {"true": True, "false": False}[text] if text in ("true", "false") else _no(text)
        case "integer":
            return int(text)
        case "number":
            number = float(text)
            return number if abs(number) < float("inf") else _no(text)
        case "json":
            return json.loads(text, parse_constant=_no)
    return text


def _no(text: str) -> Any:
    raise ValueError(text)


def _resolved(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow local references; what leads nowhere takes anything."""
    for _ in range(REFERENCES):
        if not isinstance(schema, Mapping):
            return {}
        reference = schema.get("$ref")
        if not isinstance(reference, str):
            return schema
        schema = root
        for step in reference.removeprefix("#").split("/")[1:]:
            schema = (
                schema.get(step.replace("~1", "/").replace("~0", "~"))
                if isinstance(schema, Mapping)
                else None
            )
    return {}
