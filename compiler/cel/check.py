"""Tree to checked tree: names are found in the schemas, operators in the kinds of their operands.

What passes here can fail at run time only where no schema could tell: an index out of range, an overflow, a division
by zero, a value of which the schema says nothing. A field that may be missing and a value that may be null have to be
guarded, and the guard is understood: ``facts`` carries what ``has(…)`` and ``!= null`` have shown on the way here,
from left to right through ``&&``, ``||`` and into the branches of ``? :``.

A checked tree is plain data (nested lists) and part of the artifact for ever; ``closure.py`` lists its operations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from ..artifact import Expression, Schema
from ..containment_schemas import schema_of
from .calls import BOOL, DOUBLE, INT, NUMBERS, SIGNATURES, STRING
from .shape import DYNAMIC, Kinds, Shape, joined
from .tree import COMPREHENSIONS, Tree
from .typed import (
    NONE,
    Checked,
    Facts,
    Scope,
    alike,
    at_name,
    check_pattern,
    conversion,
    either,
    fields_of,
    items_of,
    listed,
    near_to,
    overlap,
    shared,
    spelling,
    typed,
    with_definitions,
)

_SYMBOLS: Final = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "mod": "%",
    "eq": "==",
    "ne": "!=",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
}
_ARITHMETIC: Final[dict[str, Kinds]] = {
    "add": frozenset({"int", "double", "string", "list"}),
    "sub": NUMBERS,
    "mul": NUMBERS,
    "div": NUMBERS,
    "mod": frozenset({"int"}),
}
_ORDERED: Final[Kinds] = frozenset({"int", "double", "string", "bool"})
_SCALARS: Final[Kinds] = frozenset({"null", "bool", "int", "double", "string"})
_RESULTS: Final = {"int": INT, "double": DOUBLE, "string": STRING, "bool": BOOL}


def check(
    tree: Tree, message: Schema, inputs: Mapping[str, Schema] | None = None
) -> tuple[Expression, Schema]:
    """Return the checked form of ``tree`` over ``message`` (and a join's ``inputs``), and its result's schema.

    A plain path has the exact schema of what it names, a literal one that only it is valid for, anything else that of
    its CEL type. Raises ``ExpressionError`` at the first fault.
    """
    arms = None if inputs is None else {alias: Shape.of(schema) for alias, schema in inputs.items()}
    checker = _Checker()
    try:
        result = checker.visit(tree, Scope(Shape.of(message), arms, {}, NONE))
        return result.code, result.shape.standalone()
    except RecursionError:
        raise tree.error("the message's schema nests too deep to be read") from None


class _Checker:
    def __init__(self) -> None:
        self.slots = 0

    def visit(self, tree: Tree, scope: Scope) -> Checked:
        """Check one node in ``scope``."""
        if tree.op in _ARITHMETIC:
            return self._arithmetic(tree, scope)
        if tree.op in ("lt", "le", "gt", "ge"):
            return self._order(tree, scope)
        if tree.op in ("eq", "ne"):
            return self._equality(tree, scope)
        if tree.op in ("and", "or"):
            return self._logic(tree, scope)
        if tree.op in COMPREHENSIONS:
            return self._comprehension(tree, scope)
        return cast(Checked, getattr(self, f"_{tree.op}")(tree, scope))

    # -- names and paths

    def _const(self, tree: Tree, scope: Scope) -> Checked:
        value = tree.args[0]
        shape = Shape.of({**schema_of(value), **({"type": "number"} if type(value) is float else {})})
        return Checked(["const", value], shape, shape.kinds)

    def _name(self, tree: Tree, scope: Scope) -> Checked:
        name = tree.args[0]
        if name in scope.variables:
            return scope.variables[name]
        if name == "value":
            return Checked(["message"], scope.message, scope.message.kinds)
        if name == "inputs" and scope.inputs is not None:
            raise tree.error("`inputs` is not a value itself", f"name an arm: {self._arms(scope)}")
        return self._select(tree, Checked(["message"], scope.message, DYNAMIC), name, scope)

    def _arms(self, scope: Scope) -> str:
        return ", ".join(f"inputs.{alias}" for alias in sorted(scope.inputs or ()))

    def _field(self, tree: Tree, scope: Scope) -> Checked:
        source, name, optional = tree.args
        if optional:
            raise tree.error("what `.?` selects may be missing", "end with .orValue(…)")
        if self._is_inputs(source, scope):
            return self._arm(tree, name, scope)
        return self._select(tree, self.visit(source, scope), name, scope)

    def _is_inputs(self, tree: Tree, scope: Scope) -> bool:
        bare = tree.op == "name" and tree.args[0] == "inputs"
        return bare and scope.inputs is not None and "inputs" not in scope.variables

    def _arm(self, tree: Tree, alias: str, scope: Scope) -> Checked:
        assert scope.inputs is not None
        if alias not in scope.inputs:
            near = near_to(alias, scope.inputs)
            raise tree.error(
                f"no arm of this join is called `{alias}`", near or f"known are {self._arms(scope)}"
            )
        shape = scope.inputs[alias]
        return self._narrowed(["input", alias], shape, scope)

    def _select(self, tree: Tree, source: Checked, name: str, scope: Scope) -> Checked:
        """``source.name``, which must be known and can't be missing."""
        code, shape, required = self._find(tree, source, name, scope)
        if not required and ("present", repr(code)) not in scope.facts:
            text = spelling(code)
            raise tree.error(f"`{text}` may be missing", f"guard it: has({text}) ? {text} : …")
        return self._narrowed(code, shape, scope)

    def _find(self, tree: Tree, source: Checked, name: str, scope: Scope) -> tuple[Expression, Shape, bool]:
        if "map" not in source.kinds or (not source.kinds >= DYNAMIC and source.kinds != {"map"}):
            hint = "null" in source.kinds and f"guard it: {spelling(source.code)} != null"
            raise tree.error(f"`{name}` is a field of {listed(source.kinds)}", hint or "")
        found = source.shape.field(name)
        if found is None:
            known = source.shape.document.names(source.shape.schema)
            place = "the message" if source.code == ["message"] else f"`{spelling(source.code)}`"
            extra = {"value", *scope.variables} if tree.op == "name" else set()
            candidates = f"known are {', '.join(sorted(known)[:8])}" if known else ""
            raise at_name(
                tree, name, f"{place} has no field `{name}`", near_to(name, known | extra) or candidates
            )
        return ["field", source.code, name], found.shape, found.required

    def _narrowed(self, code: Expression, shape: Shape, scope: Scope) -> Checked:
        if ("set", repr(code)) in scope.facts:
            kinds = shape.kinds - {"null"}
            return Checked(code, shape.without_null(), kinds)
        return Checked(code, shape, shape.kinds)

    def _has(self, tree: Tree, scope: Scope) -> Checked:
        target = tree.args[0]
        if target.op == "name":
            if target.args[0] in scope.variables or target.args[0] == "value":
                raise target.error(f"`{target.args[0]}` is always there", "has(…) takes a field")
            target = Tree(
                "field", (Tree("name", ("value",)), target.args[0], False), target.offset, target.length
            )
        source, name, optional = target.args
        if optional:
            raise target.error("has(…) takes a plain field", "write `.` for `.?`")
        if self._is_inputs(source, scope):
            self._arm(target, name, scope)
            return typed(["arrived", name], BOOL)
        base = self.visit(source, scope)
        code, _, _ = self._find(target, base, name, scope)
        return typed(["has", base.code, name], BOOL, frozenset({("present", repr(code))}))

    def _or_value(self, tree: Tree, scope: Scope) -> Checked:
        """``a.b.?c.d.orValue(x)``: from the first ``.?`` on, every field of the path may be missing."""
        steps: list[Tree] = []
        at = tree.args[0]
        while at.op == "field" and not (steps and steps[-1].args[2]):
            steps.append(at)
            at = at.args[0]
        while at.op == "field" and any(step.args[2] for step in fields_of(at)):
            steps.append(at)
            at = at.args[0]
        if not any(step.args[2] for step in steps):
            raise tree.error("orValue(…) stands behind an optional path", "such as order.?note.orValue('')")
        source = self.visit(at, scope)
        found = source
        names: list[str] = []
        for step in reversed(steps):
            name = step.args[1]
            _, shape, required = self._find(step, found, name, scope)
            sure = not names and not step.args[2]
            if sure and not required and ("present", repr(["field", found.code, name])) not in scope.facts:
                raise step.error(f"`{name}` may be missing", f"write `.?{name}`")
            code = ["field", found.code, name]
            if sure:
                source = found = self._narrowed(code, shape, scope)
            else:
                names.append(name)
                found = Checked(code, shape, shape.kinds)
        default = self.visit(tree.args[1], scope)
        return typed(["or_value", source.code, names, default.code], either(found.shape, default.shape))

    def _index(self, tree: Tree, scope: Scope) -> Checked:
        source_tree, key_tree = tree.args
        if self._is_inputs(source_tree, scope) and key_tree.op == "const" and type(key_tree.args[0]) is str:
            return self._arm(tree, key_tree.args[0], scope)
        source, key = self.visit(source_tree, scope), self.visit(key_tree, scope)
        self._expect(source_tree, source, frozenset({"list", "map"}), "an index is taken of a list or a map")
        if key.code[0] == "const" and type(key.code[1]) is str and "map" in source.kinds:
            return self._keyed(tree, source, key.code[1], scope)
        if source.kinds == {"map"}:
            self._expect(key_tree, key, frozenset({"string"}), "the keys of a map are strings")
            shape = source.shape.document.values(source.shape.schema)
            return Checked(["index", "map", source.code, key.code], shape, shape.kinds)
        if source.kinds == {"list"}:
            self._expect(key_tree, key, frozenset({"int"}), "the index of a list is an int")
            place = key.code[1] if key.code[0] == "const" else None
            if place is not None and place < 0:
                raise key_tree.error("an index is not negative", "the last item is x[size(x) - 1]")
            shape = source.shape.document.items(source.shape.schema, place)
            return Checked(["index", "list", source.code, key.code], shape, shape.kinds)
        self._expect(key_tree, key, frozenset({"int", "string"}), "an index is an int or a string")
        return typed(["index", "dyn", source.code, key.code], True)

    def _keyed(self, tree: Tree, source: Checked, name: str, scope: Scope) -> Checked:
        """``m['name']``: the same as ``m.name``, or a lookup that may fail if the schema doesn't spell the name out."""
        if name in source.shape.document.names(source.shape.schema):
            return self._select(tree, source, name, scope)
        code, shape, _ = self._find(tree, source, name, scope)
        return self._narrowed(code, shape, scope)

    # -- literals

    def _list(self, tree: Tree, scope: Scope) -> Checked:
        items = [self.visit(item, scope) for item in tree.args]
        if all(item.code[0] == "const" for item in items):
            value = [item.code[1] for item in items]
            return typed(["const", value], schema_of(value))
        bodies, defs = joined([item.shape.standalone() for item in items])
        schema = {"type": "array", "prefixItems": bodies, "items": False, "minItems": len(items)}
        return typed(["list", *(item.code for item in items)], with_definitions(schema, defs))

    def _map(self, tree: Tree, scope: Scope) -> Checked:
        keys = [self.visit(key, scope) for key in tree.args[::2]]
        values = [self.visit(value, scope) for value in tree.args[1::2]]
        names: dict[str, int] = {}
        for number, (key, place) in enumerate(zip(keys, tree.args[::2], strict=True)):
            self._expect(place, key, frozenset({"string"}), "the keys of a map are strings")
            if key.code[0] == "const":
                if key.code[1] in names:
                    raise place.error(f"the key {key.code[1]!r} is there twice")
                names[key.code[1]] = number
        pairs = [[key.code, value.code] for key, value in zip(keys, values, strict=True)]
        bodies, defs = joined([value.shape.standalone() for value in values])
        if len(names) < len(keys):
            return typed(["map", *pairs], with_definitions({"type": "object"}, {}))
        if all(value.code[0] == "const" for value in values):
            whole = {name: values[number].code[1] for name, number in names.items()}
            return typed(["const", whole], schema_of(whole))
        schema = {
            "type": "object",
            "properties": {name: bodies[number] for name, number in names.items()},
            "required": sorted(names),
            "additionalProperties": False,
        }
        return typed(
            ["map", *sorted(pairs, key=lambda pair: cast(str, pair[0][1]))], with_definitions(schema, defs)
        )

    # -- operators

    def _expect(self, tree: Tree, found: Checked, allowed: Kinds, rule: str) -> None:
        """Demand that ``found`` is of ``allowed`` kinds; of what nothing is known, the run will tell."""
        if found.kinds <= allowed or found.kinds >= DYNAMIC:
            return
        if "null" in found.kinds and found.kinds - {"null"} <= allowed and found.kinds != {"null"}:
            text = spelling(found.code)
            raise tree.error(f"{rule}, and `{text}` may be null", f"guard it: {text} != null && …")
        raise tree.error(f"{rule}, this is {listed(found.kinds)}", conversion(found.kinds, allowed))

    def _bool(self, tree: Tree, scope: Scope, rule: str) -> Checked:
        found = self.visit(tree, scope)
        self._expect(tree, found, frozenset({"bool"}), rule)
        return found if found.kinds == {"bool"} else found._replace(code=["bool", found.code])

    def _not(self, tree: Tree, scope: Scope) -> Checked:
        found = self._bool(tree.args[0], scope, "`!` takes a bool")
        return typed(["not", found.code], BOOL, found.when_false, found.when_true)

    def _neg(self, tree: Tree, scope: Scope) -> Checked:
        found = self.visit(tree.args[0], scope)
        self._expect(tree.args[0], found, NUMBERS, "`-` takes a number")
        kind = shared(found.kinds)
        return typed(["neg", kind, found.code], _RESULTS.get(kind, DOUBLE))

    def _arithmetic(self, tree: Tree, scope: Scope) -> Checked:
        left, right = (self.visit(side, scope) for side in tree.args)
        symbol, allowed = _SYMBOLS[tree.op], _ARITHMETIC[tree.op]
        for place, side in zip(tree.args, (left, right), strict=True):
            self._expect(place, side, allowed, f"`{symbol}` takes {listed(allowed)}")
        if {"int"} in (left.kinds, right.kinds) and {"double"} in (left.kinds, right.kinds):
            number = left.code if left.code[0] == "const" else right.code
            hint = (
                f"write {number[1]}.0" if number[0] == "const" and type(number[1]) is int else "use double(…)"
            )
            raise tree.error(f"`{symbol}` does not mix int and double", hint)
        if not overlap(left.kinds, right.kinds):
            kinds = f"{listed(left.kinds)} and {listed(right.kinds)}"
            hint = "use string(…)" if "string" in left.kinds | right.kinds else ""
            raise tree.error(f"`{symbol}` is not defined for {kinds}", hint)
        kind = shared(left.kinds, right.kinds)
        code = [tree.op, kind, left.code, right.code]
        if kind == "list":
            return typed(code, {"type": "array", **items_of(left.shape, right.shape)})
        return typed(code, _RESULTS.get(kind, DOUBLE if tree.op != "add" else True))

    def _order(self, tree: Tree, scope: Scope) -> Checked:
        left, right = alike(*(self.visit(side, scope) for side in tree.args))
        symbol = _SYMBOLS[tree.op]
        for place, side in zip(tree.args, (left, right), strict=True):
            self._expect(place, side, _ORDERED, f"`{symbol}` compares numbers, strings or bools")
        if not overlap(left.kinds, right.kinds):
            raise tree.error(f"`{symbol}` does not compare {listed(left.kinds)} with {listed(right.kinds)}")
        plain = any(left.kinds | right.kinds <= kinds for kinds in (NUMBERS, {"string"}, {"bool"}))
        return typed([tree.op, "plain" if plain else "dyn", left.code, right.code], BOOL)

    def _equality(self, tree: Tree, scope: Scope) -> Checked:
        left, right = alike(*(self.visit(side, scope) for side in tree.args))
        if not (overlap(left.kinds, right.kinds) or {"null"} in (left.kinds, right.kinds)):
            raise tree.error(f"{listed(left.kinds)} is never equal to {listed(right.kinds)}")
        both = left.kinds | right.kinds
        mixed = "bool" in both and bool(both & NUMBERS)
        code = [tree.op, "plain" if both <= _SCALARS and not mixed else "deep", left.code, right.code]
        unequal: Facts = NONE
        equal: Facts = NONE
        for one, other in ((left, right), (right, left)):
            fact = frozenset({("set", repr(one.code))})
            if other.code == ["const", None]:
                unequal |= fact
            elif "null" not in other.kinds:
                equal |= fact
        return typed(code, BOOL, *((equal, unequal) if tree.op == "eq" else (unequal, equal)))

    def _in(self, tree: Tree, scope: Scope) -> Checked:
        item, group = (self.visit(side, scope) for side in tree.args)
        self._expect(tree.args[1], group, frozenset({"list", "map"}), "`in` looks into a list or a map")
        true: Facts = NONE
        kind = shared(group.kinds)
        if kind == "map":
            self._expect(tree.args[0], item, frozenset({"string"}), "the keys of a map are strings")
            if item.code[0] == "const":
                true = frozenset({("present", repr(["field", group.code, item.code[1]]))})
        elif kind == "list":
            members = group.shape.document.items(group.shape.schema)
            if members.kinds and not overlap(item.kinds, members.kinds) and "null" not in item.kinds:
                raise tree.error(f"the list holds {listed(members.kinds)}, never {listed(item.kinds)}")
            if item.kinds == {"string"} and members.kinds == {"string"}:
                kind = "plain"
        return typed(["in", kind, item.code, group.code], BOOL, true)

    def _logic(self, tree: Tree, scope: Scope) -> Checked:
        symbol = "&&" if tree.op == "and" else "||"
        known = NONE
        operands: list[Checked] = []
        for place in tree.args:
            operand = self._bool(place, scope.knowing(known), f"`{symbol}` joins bools")
            known |= operand.when_true if tree.op == "and" else operand.when_false
            operands.append(operand)
        code = [tree.op, *(operand.code for operand in operands)]
        if tree.op == "and":
            return typed(code, BOOL, known, frozenset.intersection(*(each.when_false for each in operands)))
        return typed(code, BOOL, frozenset.intersection(*(each.when_true for each in operands)), known)

    def _if(self, tree: Tree, scope: Scope) -> Checked:
        condition = self._bool(tree.args[0], scope, "the condition of `? :` is a bool")
        yes = self.visit(tree.args[1], scope.knowing(condition.when_true))
        no = self.visit(tree.args[2], scope.knowing(condition.when_false))
        return typed(["if", condition.code, yes.code, no.code], either(yes.shape, no.shape))

    # -- calls and comprehensions

    def _call(self, tree: Tree, scope: Scope) -> Checked:
        name, *arguments = tree.args
        signature = SIGNATURES.get(name)
        if signature is None or signature.form not in ("either", tree.op):
            near = near_to(
                name, [key for key, each in SIGNATURES.items() if each.form in ("either", tree.op)]
            )
            hint = f"write x.{name}(…)" if signature and signature.form == "method" else f"write {name}(x)"
            raise at_name(tree, name, f"there is no function `{name}`", hint if signature else near)
        if len(arguments) != len(signature.arguments):
            count = len(signature.arguments) - (tree.op == "method")
            raise tree.error(f"{name} takes {count} argument{'s' * (count != 1)}")
        found = [self.visit(argument, scope) for argument in arguments]
        for place, each, kinds in zip(arguments, found, signature.arguments, strict=True):
            self._expect(place, each, kinds, f"{name} takes {listed(kinds)}")
        if name == "matches":
            check_pattern(arguments[1], found[1])
        if name == "string" and found[0].kinds == {"double"}:
            name = "double_string"
        return typed(["call", name, *(each.code for each in found)], signature.result)

    _method = _call

    def _comprehension(self, tree: Tree, scope: Scope) -> Checked:
        source_tree, name, *bodies = tree.args
        source = self.visit(source_tree, scope)
        self._expect(source_tree, source, frozenset({"list", "map"}), f"{tree.op} goes over a list or a map")
        if name in ("value", "inputs"):
            raise tree.error(f"`{name}` can't be a variable", "choose another name")
        item = source.shape.document.items(source.shape.schema)
        if source.kinds != {"list"}:
            item = Shape.of(STRING if source.kinds == {"map"} else True)
        slot = self.slots
        self.slots += 1
        inner = scope._replace(variables={**scope.variables, name: Checked(["var", slot], item, item.kinds)})
        head = [tree.op, slot, source.code]
        if tree.op == "map_each":
            return self._map_each(head, bodies, inner)
        body = self._bool(bodies[0], inner, f"{tree.op} takes a condition")
        if tree.op != "filter":
            return typed([*head, body.code], BOOL)
        return typed([*head, body.code], {"type": "array", **items_of(item)})

    def _map_each(self, head: list[Any], bodies: list[Tree | None], scope: Scope) -> Checked:
        chosen, made = bodies
        assert made is not None
        condition = None
        if chosen is not None:
            condition = self._bool(chosen, scope, "the first expression of map(x, …, …) is a condition")
            scope = scope.knowing(condition.when_true)
        body = self.visit(made, scope)
        return typed(
            [*head, condition and condition.code, body.code], {"type": "array", **items_of(body.shape)}
        )
