"""Every code that the compiler says, with its meaning in one line.

A code never changes its meaning and is never given to another problem; one that fell out of use stays in the
table. ``docs/reference/errors.md`` is this table (``python -m axiom.compiler.codes`` prints it), and a test
compares them.
"""

from __future__ import annotations

from typing import Final

AREAS: Final = {
    "AX10": "Source: bytes, YAML and keys",
    "AX11": "Packages, messages and handlers",
    "AX12": "The shape of a flow",
    "AX13": "Types on edges",
    "AX14": "Expressions",
    "AX15": "Gates and mode",
    "AX16": "Pauses",
    "AX19": "Not supported in this version",
}

CODES: Final = {
    "AX1001": "The source is not UTF-8 text, or holds a control character.",
    "AX1002": "The source is not well-formed YAML or JSON.",
    "AX1003": "The source is larger than 1 MiB.",
    "AX1004": "The source is nested deeper than 64 levels.",
    "AX1005": "Aliases would expand the source beyond 250,000 values.",
    "AX1006": "A mapping holds the same key twice.",
    "AX1007": "A key is not a string.",
    "AX1008": "An alias names no anchor, or one that holds the alias itself.",
    "AX1009": "A YAML tag asks for a type that sources don't have.",
    "AX1010": "A number is not finite, or does not fit 64 bits.",
    "AX1011": "A merge key (`<<`) is used; it is no part of YAML 1.2.",
    "AX1012": "The source is empty, or holds more than one document.",
    "AX1020": "A key is unknown here.",
    "AX1021": "A required key is missing.",
    "AX1022": "A value has the wrong type.",
    "AX1023": "A value is none of those allowed.",
    "AX1024": "A number is out of its range.",
    "AX1025": "A name, version or reference is spelled in a way that is not allowed.",
    "AX1026": "Keys are combined that exclude each other, or one lacks its partner.",
    "AX1027": "There are more problems than are told at once.",
    "AX1101": "A file of a package, such as its `axiom.yaml`, can't be read.",
    "AX1102": "A package declares a node, message, import or variable twice.",
    "AX1103": "A node's input or output names no message.",
    "AX1104": "A handler's file does not exist.",
    "AX1105": "A handler's file is not valid Python.",
    "AX1106": "A handler's file does not define its function.",
    "AX1107": "A handler's kind of function does not fit the node's type or isolation.",
    "AX1108": "A handler does not take exactly its two arguments.",
    "AX1109": "A handler's path leaves the package folder.",
    "AX1110": "A message is no valid JSON Schema 2020-12.",
    "AX1111": "A `$ref` in a message leads nowhere, or only back to itself.",
    "AX1112": "An imported package is not available.",
    "AX1113": "An imported package has no such message.",
    "AX1114": "A message uses a keyword of JSON Schema that messages don't allow.",
    "AX1115": "A message holds what looks like a misspelt keyword (warning).",
    "AX1116": "A message can't be compiled to a validator.",
    "AX1120": "A flow names a package that is not available.",
    "AX1121": "A flow names a version of a package that is not available.",
    "AX1122": "A flow names a node that its package does not declare.",
    "AX1123": "A flow names a node without its package, and several packages declare it.",
    "AX1124": "A flow, a pause or an event names no message, or more than one.",
    "AX1125": "A flow names a subflow that does not exist.",
    "AX1126": "A flow contains itself.",
    "AX1127": "A pipeline is used as a subflow.",
    "AX1201": "Two nodes have the same alias.",
    "AX1202": "An edge names an alias that no node has.",
    "AX1203": "Nodes form a cycle without an edge that says `loop: true`.",
    "AX1205": "A flow has several entries.",
    "AX1206": "A flow has several terminals.",
    "AX1208": "A node can't be reached from the entry.",
    "AX1209": "A pair of nodes has more than one edge.",
    "AX1210": "A loop has no bound.",
    "AX1211": "An edge says `loop: true` but does not lead back.",
    "AX1212": "`@flow_input` is used as a target, `@flow_output` as a source, or one leads to the other.",
    "AX1213": "A flow has no nodes.",
    "AX1214": "An edge of `@flow_input` or `@flow_output` has a key that makes no sense there.",
    "AX1215": "Only a back edge leads to a node, so it never runs a first time.",
    "AX1216": "An edge enters a loop elsewhere than at its head.",
    "AX1217": "An edge leaves a loop elsewhere than from its source, where it is decided whether to go round again.",
    "AX1218": "Two loops overlap, and neither lies inside the other.",
    "AX1219": "There are more than 500 loops, or more than 16 inside one another.",
    "AX1220": "A node compensates two others, or one that compensates itself.",
    "AX1221": "A node that compensates has edges, `hitl` or `map`, or is no handler and no awaited subflow.",
    "AX1301": "What leaves the source of an edge is not proved to be an input of its target.",
    "AX1302": "The flow's input is not proved to be an input of the entry node.",
    "AX1303": "A joined input is not proved to be an input of its node.",
    "AX1304": "What leaves the terminal is not proved to be the flow's output.",
    "AX1305": "An adapter or `compose` writes a field that the target does not have.",
    "AX1306": "Two arms of a join write the same field.",
    "AX1307": "`check: runtime` stands on an arm of a join that makes its input of several arms.",
    "AX1308": "What may resume a pause is not proved to be its node's input.",
    "AX1309": "What a node gives is not proved to be the input of the node that compensates it.",
    "AX1310": "The items of a `map` are not proved to be inputs of its node.",
    "AX1401": "An expression is no valid CEL.",
    "AX1402": "An expression names a field that does not exist, or mixes types.",
    "AX1403": "A condition does not yield a boolean.",
    "AX1404": "An expression yields something else than is needed there.",
    "AX1501": "A node with several forward inputs has no `join`.",
    "AX1502": "A `join` or `compose` stands on a node without several forward inputs.",
    "AX1503": "`n` of a join is missing, or not between 1 and the number of its arms.",
    "AX1504": "`n` is given to a join that is not N_OF_M.",
    "AX1505": "Where conditions are false no path may lead to the terminal: `no_path_taken` (warning).",
    "AX1506": "An AND join waits for arms that can never all arrive.",
    "AX1507": "`compose` stands on a join that takes a single arm.",
    "AX1508": "`timeout_ms` stands on a join that goes with the first arm, so it never acts (warning).",
    "AX1510": "A flow with a pipeline node says `pipeline_mode: false`.",
    "AX1511": "A flow in pipeline mode has a `join` or `compose`; its nodes take frames as they come.",
    "AX1512": "A flow in pipeline mode has what only unary flows have: loops, waits, subflows, compensation.",
    "AX1601": "A pause with `timeout_policy: BRANCH` has no `on_error` edge to go along.",
    "AX1602": "`resume_with` is not valid for what may resume the pause.",
    "AX1901": "A part of the language is not supported in this version.",
}


def reference() -> str:
    """Return the text of ``docs/reference/errors.md``."""
    lines = ["# Compile errors", "", _LEAD]
    for prefix, title in AREAS.items():
        lines += ["", f"## {title}", "", "| code | meaning |", "|---|---|"]
        lines += [f"| `{code}` | {meaning} |" for code, meaning in CODES.items() if code.startswith(prefix)]
    return "\n".join(lines) + "\n"


_LEAD: Final = (
    "What `axiom compile`, `axiom validate` and `POST /registry/v1/flows/compile` may say. A code keeps its meaning "
    "for ever. Each diagnostic carries its file, line and column, the line with a caret, what was found and expected "
    "and, where one is near, a suggestion; one run reports all that it can find.\n\n"
    "<!-- Made by `python -m axiom.compiler.codes`; a test compares the two. -->"
)

if __name__ == "__main__":
    print(reference(), end="")
