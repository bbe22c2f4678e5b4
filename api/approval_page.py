"""The page behind an approval link, as text: no script, one stylesheet of this server, and every word escaped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from axiom.runtime.pauses import Pause

from .approval_form import INPUT_TYPES, PREFIX, Field, fields
from .wire import iso

CSS: Final = """\
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0; background: Canvas; color: CanvasText; }
main { max-width: 36rem; margin: 0 auto; padding: 1.25rem; }
h1 { font-size: 1.3rem; margin: 0 0 .25rem; }
p.about { opacity: .75; margin: 0 0 1rem; font-size: .9rem; }
.message { font-size: 1.15rem; margin: 1rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }
label, legend { display: block; font-weight: 600; margin: 1rem 0 .25rem; padding: 0; }
fieldset { border: 0; margin: 0; padding: 0; }
fieldset label { display: inline-block; font-weight: 400; margin: 0 1.5rem 0 0; padding: .5rem 0; }
input:not([type=radio]), select, textarea { box-sizing: border-box; width: 100%; padding: .6rem; font: inherit; }
input[type=radio] { width: 1.2rem; height: 1.2rem; vertical-align: middle; }
small { display: block; opacity: .75; }
.wrong { color: #c22; font-weight: 600; }
button { margin: 1.5rem 0; padding: .8rem 1.6rem; font: inherit; font-weight: 600; width: 100%; cursor: pointer; }
"""


def form_page(
    token: str,
    flow: str,
    pause: Pause,
    by: str,
    given: Mapping[str, str] | None = None,
    wrong: Mapping[str, str] | None = None,
    errors: Sequence[str] = (),
) -> str:
    """Return the page that asks; ``given`` is what was typed before, ``wrong`` says what is wrong with a field."""
    given, wrong = given or {}, wrong or {}
    until = f" · until {iso(pause.deadline)}" if pause.deadline else ""
    parts = [
        "<h1>Your answer is needed</h1>",
        f'<p class="about">{escape(flow)} · {escape(pause.node)} · for {escape(by)}{escape(until)}</p>',
        f'<div class="message">{escape(_words(pause.message))}</div>',
        *(f'<p class="wrong" role="alert">{escape(error)}</p>' for error in errors),
        f'<form method="post" action="/approvals/{escape(token, quote=True)}" accept-charset="utf-8">',
        *(
            _field(field, given.get(PREFIX + field.name, ""), wrong.get(field.name))
            for field in fields(pause.schema)
        ),
        '<label for="comment">Comment (optional)</label>',
        '<textarea id="comment" name="comment" rows="2" maxlength="10000">'
        f"{escape(given.get('comment', ''))}</textarea>",
        '<button type="submit">Send</button></form>',
    ]
    return _page("Your answer is needed", "\n".join(parts))


def said_page(title: str, text: str) -> str:
    """Return a page that only says something."""
    return _page(title, f"<h1>{escape(title)}</h1>\n<p>{escape(text)}</p>")


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="robots" content="noindex"><meta name="referrer" content="same-origin">'
        f"<title>{escape(title)}</title>"
        f'<link rel="stylesheet" href="/approvals.css"></head>\n<body><main>\n{body}\n</main></body></html>\n'
    )


def _words(message: Any) -> str:
    if message is None:
        return "A decision is waited for."
    return message if isinstance(message, str) else json.dumps(message, ensure_ascii=False, indent=2)


def _field(field: Field, given: str, wrong: str | None) -> str:
    if field.kind == "fixed":
        return ""
    name = escape(PREFIX + field.name, quote=True)
    label = escape(field.label) + ("" if field.required else " (optional)")
    hint = f"<small>{escape(field.hint)}</small>" if field.hint else ""
    told = f'<p class="wrong">{escape(wrong)}</p>' if wrong else ""
    needed = " required" if field.required else ""
    if field.kind == "flag":
        radios = "".join(
            f'<label><input type="radio" name="{name}" value="{value}"{needed}'
            f"{' checked' if given == value else ''}> {word}</label>"
            for value, word in (("true", "Yes"), ("false", "No"))
        )
        return f"<fieldset><legend>{label}</legend>{hint}{radios}</fieldset>{told}"
    return f'<label for="{name}">{label}</label>{hint}{_input(field, name, given, needed)}{told}'


def _input(field: Field, name: str, given: str, needed: str) -> str:
    called = f'id="{name}" name="{name}"'
    if field.kind == "choice":
        options = "".join(
            f'<option value="{number}"{" selected" if given == str(number) else ""}>{escape(_words(one))}</option>'
            for number, one in enumerate(field.schema["enum"])
        )
        return f'<select {called}{needed}><option value=""></option>{options}</select>'
    if field.kind in ("json", "long"):
        rows = 4 if field.kind == "long" else 6
        shown = ' placeholder="JSON" spellcheck="false"' if field.kind == "json" else ""
        return f'<textarea {called} rows="{rows}"{shown}{needed}>{escape(given)}</textarea>'
    if field.kind == "text":
        type_ = INPUT_TYPES.get(str(field.schema.get("format")), "text")
        most = _bound(field, "maxLength", "maxlength")
        return f'<input type="{type_}" {called} value="{escape(given, quote=True)}"{most}>'
    step = "1" if field.kind == "integer" else "any"
    bounds = _bound(field, "minimum", "min") + _bound(field, "maximum", "max")
    return f'<input type="number" step="{step}" {called} value="{escape(given, quote=True)}"{bounds}{needed}>'


def _bound(field: Field, keyword: str, attribute: str) -> str:
    bound = field.schema.get(keyword)
    if isinstance(bound, bool) or not isinstance(bound, (int, float)):
        return ""
    return f' {attribute}="{bound}"'
