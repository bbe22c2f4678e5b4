"""Checked tree to Python function.

Every operation becomes a closure over the closures of its operands: no text is compiled or evaluated, and nothing is
looked up at run time that the tree already says. A closure takes ``(message, inputs, frame)``; the frame holds the
variables of comprehensions behind the steps and the size that the evaluation may still use, so that one compiled
expression can run in any number of threads at once.

The operations of a checked tree (``kind`` is int, double, string, list, map, or dyn where only the run can tell)::

    const V   message   input ALIAS   arrived ALIAS   var SLOT   field BASE NAME   has BASE NAME
    index KIND BASE KEY       or_value BASE [NAME…] DEFAULT      list ITEM…        map [KEY, VALUE]…
    bool X    not X           and X…     or X…                   if C X Y          neg KIND X
    add|sub|mul|div|mod KIND X Y         lt|le|gt|ge KIND X Y    eq|ne KIND X Y    in KIND X GROUP
    call NAME X…              all|exists|exists_one|filter SLOT LIST BODY          map_each SLOT LIST COND|None BODY
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from ..artifact import Expression
from ..containment_schemas import equal
from . import loops, values
from .loops import FAULTS, FIRST, Run, charge
from .operators import COMPUTE, NUMBERS, comparable
from .tree import MAX_BUILT, MAX_STEPS, EvaluationError

_ORDER: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}


def closure(expression: Expression) -> Callable[[Any, Any], Any]:
    """Return the function of ``(message, inputs)`` that a checked tree stands for.

    It raises ``EvaluationError`` where the data does not allow a result, and nothing else.
    """
    run = _compile(expression)
    slots = _slots(expression)
    frame = (MAX_STEPS, MAX_BUILT, *(None for _ in range(slots)))

    def evaluate(message: Any, inputs: Any) -> Any:
        try:
            return run(message, inputs, list(frame))
        except FAULTS as fault:
            raise _named(fault) from None

    def evaluate_plainly(message: Any, inputs: Any) -> Any:
        try:
            return run(message, inputs, _NO_FRAME)
        except FAULTS as fault:
            raise _named(fault) from None

    return evaluate if _needs_frame(expression) else evaluate_plainly


_NO_FRAME: Final[list[Any]] = []


def _named(fault: Exception) -> EvaluationError:
    match fault:
        case EvaluationError():
            return fault
        case KeyError():
            return EvaluationError(f"there is no field or key {fault.args[0]!r}")
        case IndexError():
            return EvaluationError("an index is out of range")
        case ZeroDivisionError():
            return EvaluationError("division by zero")
        case OverflowError():
            return EvaluationError("the result is not a finite number")
    return EvaluationError(f"a value is not of the kind that the expression needs: {fault}")


def _operations(expression: Expression) -> Iterator[Expression]:
    """All operations of a checked tree."""
    waiting = [expression]
    while waiting:
        operation = waiting.pop()
        yield operation
        match operation:
            case ["const", _]:
                pass
            case ["or_value", base, _, default]:
                waiting += [base, default]
            case ["map", *pairs]:
                waiting += [part for pair in pairs for part in pair]
            case [_, *parts]:
                waiting += [part for part in parts if isinstance(part, (list, tuple))]


def _slots(expression: Expression) -> int:
    return 1 + max((part[1] for part in _operations(expression) if part[0] in _LOOPS), default=-1)


def _needs_frame(expression: Expression) -> bool:
    """Comprehensions hold variables and count steps; what builds text or lists counts its size."""
    return any(
        part[0] in _LOOPS
        or part[0] in ("list", "map", "call")
        or (part[0] == "add" and part[1] not in NUMBERS)
        for part in _operations(expression)
    )


def _compile(expression: Expression) -> Run:
    op, *arguments = expression
    return _COMPILERS[op](*arguments)


# -- names and paths


def _const(value: Any) -> Run:
    if isinstance(value, (list, tuple, Mapping)):
        return lambda m, i, f: _copy(value)
    return lambda m, i, f: value


def _copy(value: Any) -> Any:
    """A value of its own for each evaluation: what an adapter makes may be changed by the one who gets it."""
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, (list, tuple)) else value


def _message() -> Run:
    return lambda m, i, f: m


def _input(alias: str) -> Run:
    return lambda m, i, f: i[alias]


def _arrived(alias: str) -> Run:
    return lambda m, i, f: alias in i


def _var(slot: int) -> Run:
    place = slot + FIRST
    return lambda m, i, f: f[place]


def _field(base: Expression, name: str) -> Run:
    match base:
        case ["message"]:
            return lambda m, i, f: m[name]
        case ["field", ["message"], outer]:
            return lambda m, i, f: m[outer][name]
        case ["input", alias]:
            return lambda m, i, f: i[alias][name]
    get = _compile(base)
    return lambda m, i, f: get(m, i, f)[name]


def _has(base: Expression, name: str) -> Run:
    get = _compile(base)

    def has(m: Any, i: Any, f: list[Any]) -> bool:
        value = get(m, i, f)
        if isinstance(value, Mapping):
            return name in value
        raise values.mismatch("has(…)", value)

    return has


def _index(kind: str, base: Expression, key: Expression) -> Run:
    get, at = _compile(base), _compile(key)

    def index(m: Any, i: Any, f: list[Any]) -> Any:
        value, place = get(m, i, f), at(m, i, f)
        if isinstance(value, Mapping):
            if type(place) is str:
                return value[place]
            raise values.mismatch("an index of a map", place)
        if isinstance(value, (list, tuple)):
            place = values.whole(place)
            if place < 0:
                raise EvaluationError("an index is out of range")
            return value[place]
        raise values.mismatch("an index", value)

    return index


def _or_value(base: Expression, names: Sequence[str], default: Expression) -> Run:
    get, otherwise = _compile(base), _compile(default)

    def or_value(m: Any, i: Any, f: list[Any]) -> Any:
        value = get(m, i, f)
        for name in names:
            if not isinstance(value, Mapping):
                raise values.mismatch(f"the field {name!r}", value)
            if name not in value:
                return otherwise(m, i, f)
            value = value[name]
        return value

    return or_value


# -- literals


def _list(*items: Expression) -> Run:
    made = tuple(map(_compile, items))

    def build(m: Any, i: Any, f: list[Any]) -> list[Any]:
        charge(f, len(made))
        return [item(m, i, f) for item in made]

    return build


def _map(*pairs: Sequence[Expression]) -> Run:
    made = tuple((_compile(key), _compile(value)) for key, value in pairs)

    def build(m: Any, i: Any, f: list[Any]) -> dict[str, Any]:
        charge(f, len(made))
        out: dict[str, Any] = {}
        for key, value in made:
            name = key(m, i, f)
            if type(name) is not str:
                raise values.mismatch("a key of a map", name)
            if name in out:
                raise EvaluationError(f"the key {name!r} is there twice")
            out[name] = value(m, i, f)
        return out

    return build


# -- logic


def _bool(inner: Expression) -> Run:
    get = _compile(inner)

    def check(m: Any, i: Any, f: list[Any]) -> bool:
        value = get(m, i, f)
        if isinstance(value, bool):
            return value
        raise values.mismatch("logic", value)

    return check


def _not(inner: Expression) -> Run:
    get = _compile(inner)
    return lambda m, i, f: not get(m, i, f)


def _logic(decisive: bool) -> Callable[..., Run]:
    """``&&`` is decided by one false, ``||`` by one true; a fault counts only if nothing decides."""

    def compile_logic(*operands: Expression) -> Run:
        made = tuple(map(_compile, operands))

        def logic(m: Any, i: Any, f: list[Any]) -> bool:
            failed: Exception | None = None
            for operand in made:
                try:
                    found: bool = operand(m, i, f)
                    if found is decisive:
                        return decisive
                except FAULTS as fault:
                    failed = failed or fault
            if failed is not None:
                raise failed
            return not decisive

        return logic

    return compile_logic


def _if(condition: Expression, yes: Expression, no: Expression) -> Run:
    test, then, otherwise = _compile(condition), _compile(yes), _compile(no)
    return lambda m, i, f: then(m, i, f) if test(m, i, f) else otherwise(m, i, f)


# -- operators


def _order(op: str) -> Callable[..., Run]:
    compare = _ORDER[op]

    def compile_order(kind: str, left: Expression, right: Expression) -> Run:
        one, other = _compile(left), _compile(right)
        if kind != "plain":
            return lambda m, i, f: compare(*comparable(one(m, i, f), other(m, i, f)))
        match left, right:
            case ["field", ["message"], name], ["const", limit]:
                return _field_order(op, name, limit)
        return lambda m, i, f: compare(one(m, i, f), other(m, i, f))

    return compile_order


def _field_order(op: str, name: str, limit: Any) -> Run:
    """The commonest condition of all, in one closure."""
    match op:
        case "lt":
            return lambda m, i, f: m[name] < limit
        case "le":
            return lambda m, i, f: m[name] <= limit
        case "gt":
            return lambda m, i, f: m[name] > limit
    return lambda m, i, f: m[name] >= limit


def _equality(positive: bool) -> Callable[..., Run]:
    def compile_equality(kind: str, left: Expression, right: Expression) -> Run:
        one, other = _compile(left), _compile(right)
        if kind != "plain":
            return lambda m, i, f: equal(one(m, i, f), other(m, i, f)) is positive
        match left, right:
            case ["field", ["message"], name], ["const", value] if positive:
                return lambda m, i, f: m[name] == value
        if positive:
            return lambda m, i, f: one(m, i, f) == other(m, i, f)
        return lambda m, i, f: one(m, i, f) != other(m, i, f)

    return compile_equality


def _in(kind: str, item: Expression, group: Expression) -> Run:
    one, many = _compile(item), _compile(group)
    if kind == "plain":
        if group[0] == "const":
            known = frozenset(group[1])
            return lambda m, i, f: one(m, i, f) in known
        return lambda m, i, f: one(m, i, f) in many(m, i, f)

    def contained(m: Any, i: Any, f: list[Any]) -> bool:
        value, group = one(m, i, f), many(m, i, f)
        if isinstance(group, Mapping):
            return isinstance(value, str) and value in group
        if isinstance(group, (list, tuple)):
            return any(equal(value, each) for each in group)
        raise values.mismatch("`in`", group)

    return contained


def _neg(kind: str, inner: Expression) -> Run:
    get = _compile(inner)
    if kind == "double":
        return lambda m, i, f: -values.number(get(m, i, f))

    def negate(m: Any, i: Any, f: list[Any]) -> Any:
        value = get(m, i, f)
        if type(value) is float and kind == "dyn":
            return -value
        return values.fits(-values.whole(value))

    return negate


def _arithmetic(op: str) -> Callable[..., Run]:
    def compile_arithmetic(kind: str, left: Expression, right: Expression) -> Run:
        one, other = _compile(left), _compile(right)
        compute = COMPUTE[op, kind]
        if op == "add" and kind not in NUMBERS:

            def add(m: Any, i: Any, f: list[Any]) -> Any:
                made = compute(one(m, i, f), other(m, i, f))
                if type(made) is str or type(made) is list:
                    charge(f, len(made))
                return made

            return add
        return lambda m, i, f: compute(one(m, i, f), other(m, i, f))

    return compile_arithmetic


# -- calls


def _call(name: str, *arguments: Expression) -> Run:
    if name == "matches":
        return _matches(*arguments)
    function = values.FUNCTIONS[name]
    made = tuple(map(_compile, arguments))
    charged = name in ("toJson", "lowerAscii", "upperAscii", "string")

    def call(m: Any, i: Any, f: list[Any]) -> Any:
        result = function(*(argument(m, i, f) for argument in made))
        if charged:
            charge(f, len(result))
        return result

    return call


def _matches(text: Expression, pattern: Expression) -> Run:
    get, search = _compile(text), values.regex(pattern[1]).search

    def matches(m: Any, i: Any, f: list[Any]) -> bool:
        value = get(m, i, f)
        if type(value) is not str:
            raise values.mismatch("matches", value)
        return search(value) is not None

    return matches


# -- comprehensions


def _loop(make: Callable[..., Run]) -> Callable[..., Run]:
    def compile_loop(slot: int, *parts: Expression | None) -> Run:
        return make(slot, *(part if part is None else _compile(part) for part in parts))

    return compile_loop


_LOOPS: Final = frozenset({"all", "exists", "exists_one", "filter", "map_each"})
_COMPILERS: Final[dict[str, Callable[..., Run]]] = {
    "const": _const,
    "message": _message,
    "input": _input,
    "arrived": _arrived,
    "var": _var,
    "field": _field,
    "has": _has,
    "index": _index,
    "or_value": _or_value,
    "list": _list,
    "map": _map,
    "bool": _bool,
    "not": _not,
    "and": _logic(False),
    "or": _logic(True),
    "if": _if,
    **{op: _order(op) for op in _ORDER},
    "eq": _equality(True),
    "ne": _equality(False),
    "in": _in,
    "neg": _neg,
    **{op: _arithmetic(op) for op in ("add", "sub", "mul", "div", "mod")},
    "call": _call,
    "all": _loop(loops.quantifier(False)),
    "exists": _loop(loops.quantifier(True)),
    "exists_one": _loop(loops.exists_one),
    "filter": _loop(loops.keep),
    "map_each": _loop(loops.map_each),
}
