"""Names to what they stand for: packages, nodes and messages.

A node's messages are its handler's. What it gives to its followers is its output, or behind a ``map`` a list of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from ..errors import Place
from ..messages import ANYTHING, split_reference, why_not_compiled
from ..model import Flow, MessageId, NodeType, Package, Placement
from ..report import listed, suggest
from ..schemas import endless, walk
from ..source import Scalar
from .context import Context


def resolve(flow: Flow, context: Context) -> Flow:
    """Return ``flow`` with the declaration, digest and messages of each node, and its own messages."""
    nodes = tuple(_resolved(node, context) for node in flow.nodes)
    used = {(node.package, node.version) for node in nodes if node.declared}
    if context.home:
        used.add((context.home.name, context.home.version))
    for key in sorted(used):
        _check_imports(context.packages[key], context)
    messages = {m for node in nodes for m in (node.input, node.output) if m}
    _check_messages(messages, context)
    return replace(
        flow,
        nodes=tuple(_awaiting(node, used, context) for node in nodes),
        input_message=_message(flow.input, "input", used, context),
        output_message=_message(flow.output, "output", used, context),
    )


def given(node: Placement, context: Context) -> MessageId | None:
    """Return what the followers of a node see, once its output is known."""
    if node.output is None or node.fan is None:
        return node.output
    return context.library.list_of(node.output, node.fan.failure_policy == "TOLERATE_FAILURES")


def precedence(version: str) -> tuple[list[int], bool, list[tuple[bool, int, str]]]:
    """Return a key that orders semantic versions as the specification does.

    >>> sorted(["1.0.0", "1.0.0-rc.2", "0.9.10", "0.9.9"], key=precedence)
    ['0.9.9', '0.9.10', '1.0.0-rc.2', '1.0.0']
    """
    core, _, pre = version.partition("+")[0].partition("-")
    numbers = [int(part) for part in core.split(".")]
    parts = [(not p.isdigit(), int(p) if p.isdigit() else 0, p) for p in re.split(r"\.", pre)] if pre else []
    return numbers, not pre, parts


def _resolved(node: Placement, context: Context) -> Placement:
    if node.kind != "node" or not node.node:
        return node
    package = _package(node, context)
    declared = _declared(node, package, context) if package else None
    if not package or not declared:
        return node
    found = replace(
        node,
        package=package.name,
        version=package.version,
        digest=package.digest,
        declared=declared,
        input=context.library.find(package, declared.input),
        output=context.library.find(package, declared.output),
    )
    return replace(found, gives=given(found, context))


def _awaiting(node: Placement, used: set[tuple[str, str]], context: Context) -> Placement:
    """Return ``node`` with the message that it waits for: an event's payload, or the answer to a pause."""
    if node.awaited and node.kind == "event":
        named, message = node.awaited.message, ANYTHING
        if named:
            found = _wanted(named, node.awaited.at("message"), "an event's payload", used, context)
            if found is None:
                return node
            message = found
        return replace(node, output=message, gives=message)
    if node.pause is None or not node.pause.resume_input:
        return replace(node, pause=replace(node.pause, answer=node.input)) if node.pause else node
    own = context.packages.get((node.package, node.version))
    answer = context.library.find(own, node.pause.resume_input) if own else None
    if answer is None:
        place, what = node.pause.at("resume_input"), "a pause's answer"
        answer = _wanted(node.pause.resume_input, place, what, used, context)
    return replace(node, pause=replace(node.pause, answer=answer))


def _package(node: Placement, context: Context) -> Package | None:
    if node.package:
        return _named(node, context)
    if context.home:
        return context.home
    having = {p.name: p for p in _newest(context) if node.node in p.nodes}
    if len(having) == 1:
        return next(iter(having.values()))
    if having:
        expected = "`package:` with one of " + listed(having)
        message = f"several packages declare `{node.node}`"
        context.report.error("AX1123", node.at("node"), message, found=node.node, expected=expected)
        return None
    names = {name for package in _newest(context) for name in package.nodes}
    _unknown_node(node, names, context, "no package at hand")
    return None


def _named(node: Placement, context: Context) -> Package | None:
    versions = [version for name, version in context.packages if name == node.package]
    names = {name for name, _ in context.packages}
    if not versions:
        context.report.error(
            "AX1120",
            node.at("package"),
            f"the package `{node.package}` is not available",
            found=node.package,
            expected=listed(names) or "a package",
            suggestion=suggest(node.package, names),
        )
        return None
    wanted = node.version or max(versions, key=precedence)
    if wanted not in versions:
        message = f"`{node.package}` has no version {wanted} here"
        expected = listed(versions)
        context.report.error("AX1121", node.at("package"), message, found=wanted, expected=expected)
        return None
    return context.packages[node.package, wanted]


def _declared(node: Placement, package: Package, context: Context) -> NodeType | None:
    found = package.nodes.get(node.node)
    if not found:
        _unknown_node(node, package.nodes, context, f"`{package.name}`")
    return found


def _unknown_node(node: Placement, names: Iterable[str], context: Context, where: str) -> None:
    message = f"{where} declares no node `{node.node}`"
    near, known = suggest(node.node, names), listed(names) or "no nodes"
    context.report.error("AX1122", node.at("node"), message, found=node.node, expected=known, suggestion=near)


def _newest(context: Context) -> list[Package]:
    newest: dict[str, Package] = {}
    for (name, version), package in context.packages.items():
        if name not in newest or precedence(version) > precedence(newest[name].version):
            newest[name] = package
    return list(newest.values())


def _message(
    named: Scalar | None, key: str, used: set[tuple[str, str]], context: Context
) -> MessageId | None:
    return _wanted(str(named.value), named.place, f"the flow's {key}", used, context) if named else None


def _wanted(
    name: str, place: Place, what: str, used: set[tuple[str, str]], context: Context
) -> MessageId | None:
    """Return the message that a flow names, or say why there is none."""
    owner, _, short = name.rpartition("/")
    packages = [context.packages[item] for item in sorted(used) if owner in ("", item[0])]
    if context.home and not owner and context.library.find(context.home, short):
        packages = [context.home]
    found = {m for package in packages if (m := context.library.find(package, short))}
    if len(found) == 1:
        message = found.pop()
        _check_messages({message}, context)
        return message
    known = {n for package in packages for n in package.messages}
    known |= {n for package in packages for item in package.imports for n in item.messages}
    if found:
        choices = listed(f"{m.package}/{m.name}" for m in found)
        text = f"{what} `{name}` is a message of several packages"
        context.report.error("AX1124", place, text, found=name, expected=choices)
    else:
        text, near = f"{what} `{name}` is no message", suggest(short, known)
        context.report.error("AX1124", place, text, found=name, expected=listed(known), suggestion=near)
    return None


def _check_imports(package: Package, context: Context) -> None:
    for item in package.imports:
        origin = context.packages.get((item.package, item.version))
        wanted = f"{item.package}@{item.version}"
        if origin is None:
            near = listed(p.id for p in context.packages.values() if p.name == item.package)
            message = f"`{package.name}` imports messages of {wanted}, which is not available"
            context.report.error("AX1112", item.at("package"), message, found=near or "none", expected=wanted)
            continue
        for name in item.messages:
            if name not in origin.messages:
                context.report.error(
                    "AX1113",
                    item.at("messages"),
                    f"{wanted} has no message `{name}`",
                    found=name,
                    expected=listed(origin.messages),
                    suggestion=suggest(name, origin.messages),
                )


def _check_messages(messages: set[MessageId], context: Context) -> None:
    """Messages that speak of imported ones could not be compiled before their origin was known."""
    if context.report.failed:
        return
    for message in sorted(messages, key=lambda m: (m.package, m.version, m.name)):
        package = context.packages[message.package, message.version]
        imported = {name for item in package.imports for name in item.messages}
        declared = package.messages[message.name]
        refs = {part.get("$ref") for _, part in walk(declared.schema)}
        if not any(isinstance(ref, str) and split_reference(ref)[0] in imported for ref in refs):
            continue
        schema = context.library.schema(message)
        loop = endless(schema)
        problem = f"it refers only back to itself at {loop}" if loop else why_not_compiled(schema)
        if problem:
            place = declared.place or Place(package.id)
            context.report.error("AX1116", place, f"`{message.name}` can't be compiled: {problem}")
