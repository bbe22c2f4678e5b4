"""Text to tree. The library's LALR parser does the grammar; here its tree is folded, bounded and rid of places.

Bounds are checked on the way down, so that a hostile text costs no more than a good one of the same length.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .scan import Scanned, scan
from .tree import (
    COMPREHENSIONS,
    INT_MAX,
    INT_MIN,
    MAX_COST,
    MAX_DEPTH,
    MAX_NODES,
    MAX_TEXT,
    ExpressionError,
    Tree,
)

if TYPE_CHECKING:
    from lark import Lark, Token

LarkTree = Any
"""The library's tree; its children are trees and tokens, as the grammar has it."""

UNKNOWN_LENGTH: Final = 1000
"""How many items a list has, as ``cost`` sees it, unless it is written out."""
_BINARY: Final = {
    "relation_lt": "lt",
    "relation_le": "le",
    "relation_gt": "gt",
    "relation_ge": "ge",
    "relation_eq": "eq",
    "relation_ne": "ne",
    "relation_in": "in",
    "addition_add": "add",
    "addition_sub": "sub",
    "multiplication_mul": "mul",
    "multiplication_div": "div",
    "multiplication_mod": "mod",
}
_CHAINS: Final = {"conditionalor": "or", "conditionaland": "and"}
_RESERVED: Final = frozenset(
    {"as", "break", "const", "continue", "else", "for", "function", "if", "import", "in", "let", "loop"}
    | {"namespace", "package", "return", "var", "void", "while"}
)


def parse(text: str) -> Tree:
    """Return the tree of ``text``; ``ExpressionError`` for what isn't CEL, isn't in the subset or is too large."""
    if len(text) > MAX_TEXT:
        raise ExpressionError(
            f"an expression has at most {MAX_TEXT} characters, this one {len(text)}", MAX_TEXT
        )
    if not text.strip():
        raise ExpressionError("an expression is empty")
    scanned = scan(text)
    fold = _Fold(scanned)
    tree = fold.tree(_lark(scanned.text), 0)
    if cost(tree) > MAX_COST:
        raise tree.error(
            "nested comprehensions could take too many steps",
            "loop over one list, or move the work into a node",
        )
    return tree


def cost(tree: Tree) -> int:
    """How many steps ``tree`` may take, where a list whose length isn't known counts as 1000 items."""
    if tree.op not in COMPREHENSIONS:
        return 1 + sum(map(cost, tree.children))
    source, *body = tree.children
    length = len(source.args) if source.op == "list" else UNKNOWN_LENGTH
    return 1 + cost(source) + length * (1 + sum(map(cost, body)))


@cache
def _grammar() -> Lark:
    """The library's grammar. The library itself is not imported: it takes longer than all of the compiler."""
    from lark import Lark

    library = find_spec("celpy")
    assert library is not None
    assert library.origin is not None
    return Lark(
        Path(library.origin).with_name("cel.lark").read_text(encoding="utf-8"),
        parser="lalr",
        start="expr",
        g_regex_flags=re.MULTILINE,
        lexer_callbacks={"IDENT": _word},
        propagate_positions=True,
        maybe_placeholders=False,
        priority="invert",
    )


def _word(token: Token) -> Token:
    """``true`` and ``false`` are no names, as the library has it."""
    from lark import Token

    return Token.new_borrow_pos("BOOL_LIT", token, token) if token in ("true", "false") else token


def _lark(text: str) -> LarkTree:
    from lark.exceptions import LarkError, UnexpectedInput

    try:
        return _grammar().parse(text)
    except UnexpectedInput as error:
        at = error.pos_in_stream
        token = getattr(error, "token", None)
        if at is None or (token is not None and token.type == "$END") or not text[at:].strip():
            raise ExpressionError("the expression is incomplete", max(len(text.rstrip()) - 1, 0)) from None
        word = text[at:].split(maxsplit=1)[0][:20]
        raise ExpressionError(f"`{word}` is not expected here", at, len(word), _hint(text, at)) from None
    except LarkError as error:
        raise ExpressionError(f"not a CEL expression: {error}") from error


def _hint(text: str, at: int) -> str:
    rest = text[at:]
    if rest.startswith("=") and not rest.startswith("=="):
        return "equality is `==`"
    for wrong, right in (("and", "&&"), ("or", "||"), ("not", "!"), ("&", "&&"), ("|", "||")):
        if rest.startswith(wrong):
            return f"write `{right}`"
    return ""


class _Fold:
    """Folds the library's tree, one grammar rule after another, into ours."""

    def __init__(self, scanned: Scanned) -> None:
        self.scanned = scanned
        self.nodes = 0

    def tree(self, node: LarkTree, depth: int) -> Tree:
        node = _bare(node)
        rule = str(node.data)
        offset, length = node.meta.start_pos, node.meta.end_pos - node.meta.start_pos
        self.nodes += 1
        if depth > MAX_DEPTH:
            raise ExpressionError(f"an expression nests at most {MAX_DEPTH} deep", offset, length)
        if self.nodes > MAX_NODES:
            raise ExpressionError(f"an expression has at most {MAX_NODES} parts", offset, length)

        def make(op: str, *args: Any) -> Tree:
            return Tree(op, args, offset, length)

        fold: Callable[[LarkTree, Callable[..., Tree], int], Tree] = getattr(self, f"_{rule}", self._other)
        return fold(node, make, depth + 1)

    def _expr(self, node: LarkTree, make: Callable[..., Tree], depth: int) -> Tree:
        return make("if", *(self.tree(child, depth) for child in node.children))

    def _other(self, node: LarkTree, make: Callable[..., Tree], depth: int) -> Tree:
        rule = str(node.data)
        if rule in _CHAINS:
            return make(_CHAINS[rule], *self._chain(node, rule, depth))
        if rule in ("relation", "addition", "multiplication"):
            left, right = node.children
            op = _BINARY[str(left.data)]
            return make(op, self.tree(left.children[0], depth), self.tree(right, depth))
        raise make("const").error("message literals are not supported", "write a map: {'name': …}")

    def _chain(self, node: LarkTree, rule: str, depth: int) -> list[Tree]:
        """The operands of ``a && b && …``, however they were bracketed: both operators are associative."""
        operands: list[Tree] = []
        waiting = [node]
        while waiting:
            operand = _bare(waiting.pop())
            if operand.data == rule:
                waiting.extend(reversed(operand.children))
            else:
                operands.append(self.tree(operand, depth))
        return operands

    def _unary(self, node: LarkTree, make: Callable[..., Tree], depth: int) -> Tree:
        sign, operand = node.children
        inner = self.tree(operand, depth)
        if sign.data == "unary_not":
            return make("not", inner)
        value: Any = inner.args[0] if inner.op == "const" else None
        if type(value) in (int, float) and value != INT_MIN:
            return make("const", -value)
        return make("neg", inner)

    def _ident(self, node: LarkTree, make: Callable[..., Tree], depth: int) -> Tree:
        name = str(node.children[0])
        if name in _RESERVED:
            raise make("name", name).error(f"`{name}` is reserved", f"write value[{name!r}]")
        return make("name", name)

    def _dot_ident(self, node: LarkTree, make: Callable[..., Tree], depth: int) -> Tree:
        return self._ident(node, make, depth)

    def _literal(self, node: LarkTree, make: Callable[..., Tree], depth: int) -> Tree:
        token = node.children[0]
        text, problem = str(token), make("const").error
        match token.type:
            case "STRING_LIT" | "MLSTRING_LIT":
                return make("const", self.scanned.strings[token.start_pos])
            case "INT_LIT":
                value = int(text, 16 if "0x" in text else 10)
                if not INT_MIN <= value <= INT_MAX:
                    raise problem(f"an integer lies in -2^63 … 2^63-1, {text} does not")
                return make("const", value)
            case "FLOAT_LIT":
                if float(text) in (float("inf"), float("-inf")):
                    raise problem(f"{text} is too large for a double")
                return make("const", float(text))
            case "BOOL_LIT":
                return make("const", text == "true")
            case "NULL_LIT":
                return make("const", None)
        raise problem("unsigned integers are not supported: a message is JSON", "leave the `u` away")

    def _list_lit(self, node: LarkTree, make: Callable[..., Tree], depth: int) -> Tree:
        return make("list", *self._arguments(node.children, depth))

    def _map_lit(self, node: LarkTree, make: Callable[..., Tree], depth: int) -> Tree:
        return make("map", *self._arguments(node.children, depth))

    def _arguments(self, children: list[Any], depth: int) -> list[Tree]:
        return [self.tree(item, depth) for group in children for item in group.children]

    def _member_dot(self, node: LarkTree, make: Callable[..., Tree], depth: int) -> Tree:
        source, name = node.children
        between = range(source.meta.end_pos, name.start_pos)
        return make(
            "field", self.tree(source, depth), str(name), not self.scanned.optionals.isdisjoint(between)
        )

    def _member_index(self, node: LarkTree, make: Callable[..., Tree], depth: int) -> Tree:
        return make("index", *(self.tree(child, depth) for child in node.children))

    def _ident_arg(self, node: LarkTree, make: Callable[..., Tree], depth: int) -> Tree:
        name, *rest = node.children
        arguments = self._arguments(rest, depth)
        if name == "has":
            if len(arguments) != 1 or arguments[0].op not in ("field", "name"):
                raise make("has").error("has(…) takes one field, such as has(order.note)")
            return make("has", *arguments)
        return make("call", str(name), *arguments)

    def _dot_ident_arg(self, node: LarkTree, make: Callable[..., Tree], depth: int) -> Tree:
        return self._ident_arg(node, make, depth)

    def _member_dot_arg(self, node: LarkTree, make: Callable[..., Tree], depth: int) -> Tree:
        source, token, *rest = node.children
        name, target = str(token), self.tree(source, depth)
        arguments = self._arguments(rest, depth)
        if name == "map" or name in COMPREHENSIONS - {"map_each"}:
            return self._comprehension(name, target, arguments, make)
        if name == "orValue":
            if len(arguments) != 1:
                raise make("or_value").error("orValue(…) takes one value")
            return make("or_value", target, arguments[0])
        return make("method", name, target, *arguments)

    def _comprehension(
        self, name: str, target: Tree, arguments: list[Tree], make: Callable[..., Tree]
    ) -> Tree:
        if not 2 <= len(arguments) <= (3 if name == "map" else 2) or arguments[0].op != "name":
            raise make(name).error(
                f"{name} takes a variable and an expression, such as lines.{name}(x, x > 0)"
            )
        variable = arguments[0].args[0]
        if name != "map":
            return make(name, target, variable, arguments[1])
        return make(
            "map_each", target, variable, arguments[1] if len(arguments) == 3 else None, arguments[-1]
        )


def _bare(node: LarkTree) -> LarkTree:
    """``node`` without the chain of rules and parentheses that say nothing."""
    while len(node.children) == 1 and str(node.data) not in _KEEP:
        node = node.children[0]
    return node


_KEEP: Final = frozenset(
    {"ident", "dot_ident", "literal", "list_lit", "map_lit", "ident_arg", "dot_ident_arg"}
)
