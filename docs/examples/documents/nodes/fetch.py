"""Fetch: a page over HTTP, with the standard library.

It blocks, and that is fine: a plain ``def`` runs in a process of its own and can be stopped at any moment.
"""

from urllib.error import HTTPError
from urllib.request import urlopen

from axiom.sdk import NodeFailure


def fetch(ctx, input):
    try:
        with urlopen(input["url"], timeout=10) as answer:
            return {"url": input["url"], "text": answer.read().decode("utf-8", "replace")}
    except HTTPError as error:
        if error.code in (429, 503):
            seconds = float(error.headers.get("Retry-After", 1))
            raise NodeFailure("the server is busy", code="busy", retry_after_seconds=seconds) from None
        raise NodeFailure(f"the server answered {error.code}", code="http_status") from None
