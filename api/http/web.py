"""The pages: one shell for all of them, served at every address that a person may open.

The shell is a fixed file with nothing in it that needs a key: its script asks for the data over the same HTTP calls
that everybody uses. So nobody is refused here; a caller without a key is asked for one by the page, once. In
development, on loopback, the cookie comes with the shell. What is named here is what the script knows
(``web/src/app.tsx``).
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from ..errors import Problem
from ..service import service_of
from .pages import DIST, dev_cookie

NOT_BUILT: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Axiom</title></head><body>
<h1>The pages are not built</h1>
<p>The server works, and so do its HTTP calls and the command line. To have the pages too, run this in the clone that it
was started from, and load this page again:</p>
<pre>python3 web/pages.py</pre>
</body></html>
"""


async def shell(request: Request) -> Response:
    """``GET /executions``, ``/executions/{execution_id}``, ``/pauses``, ``/flows``, …"""
    headers = {"cache-control": "no-store"}
    page = DIST / "index.html"
    if not page.is_file():
        return HTMLResponse(NOT_BUILT, 503, headers)
    service = service_of(request)
    if service.gate.developing(request):
        try:
            await service.gate.caller(request)
        except Problem:
            headers["set-cookie"] = await dev_cookie(service, request)
    return FileResponse(page, 200, headers, media_type="text/html")


async def home(request: Request) -> Response:
    """``GET /``"""
    return RedirectResponse("/executions", 307)


ROUTES: Final = [
    Route("/", home, methods=["GET"]),
    *(
        Route(path, shell, methods=["GET"])
        for path in ("/executions", "/executions/{execution_id}", "/pauses", "/flows", "/flows/{name:path}")
    ),
]
