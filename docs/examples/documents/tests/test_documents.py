"""The document flow against a real HTTP server that is busy at first."""

import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
PAGE = b"<html><body><h1>Tea</h1><p>Water, leaves, <a href='/time'>time</a></p><h2>Cups</h2></body></html>"


class Library(BaseHTTPRequestHandler):
    """Serves one page at ``/tea``; the first request is asked to come again."""

    def do_GET(self):
        self.server.requests.append(self.path)
        status = 404 if self.path != "/tea" else 503 if len(self.server.requests) == 1 else 200
        self.send_response(status)
        self.send_header("Retry-After", "0.2")
        self.end_headers()
        self.wfile.write(PAGE if status == 200 else b"")

    def log_message(self, *args):
        pass


@pytest.fixture
def library():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Library)
    server.requests = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def run(url):
    command = [sys.executable, "-m", "axiom.api.cli.main", "run", PROJECT, "-d", json.dumps({"url": url})]
    return subprocess.run([*command, "--store", "memory:"], capture_output=True, text=True, check=False)


def test_a_page_is_fetched_from_a_busy_server_and_summarised(library):
    url = f"http://127.0.0.1:{library.server_port}/tea"
    done = run(url)
    assert json.loads(done.stdout) == {"url": url, "headings": ["Tea", "Cups"], "words": 5, "links": 1}
    assert library.requests == ["/tea", "/tea"]


def test_a_page_that_is_not_there_fails_the_run_at_once(library):
    done = run(f"http://127.0.0.1:{library.server_port}/coffee")
    assert done.returncode == 1
    assert "404" in done.stderr
    assert library.requests == ["/coffee"]
