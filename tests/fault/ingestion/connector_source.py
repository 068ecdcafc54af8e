"""Sources for the fault tests of connectors: rows by number, in memory, or pages over real HTTP."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from appliance.ingestion.connectors.source import Fetched


class Numbers:
    """Rows ``{"n": 0}`` to ``{"n": total - 1}``, `step` at each look; the cursor is the next number."""

    def __init__(self, total, step):
        self.total = total
        self.step = step

    @contextlib.contextmanager
    def session(self):
        yield

    def fetch(self, cursor, *, wait_s):
        first = cursor or 0
        last = min(first + self.step, self.total)
        rows = [json.dumps({"n": number}).encode() for number in range(first, last)]
        return Fetched(rows=rows, cursor=last, exhausted=last == self.total)

    def delivered(self):
        pass


@contextlib.contextmanager
def pages(total, size):
    """A server on a free loopback port that gives numbered pages of ``{"t": …, "n": …}``; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            query = parse_qs(urlsplit(self.path).query)
            first = (int(query["page"][0]) - 1) * size
            items = [{"t": "2026-01-01T00:00:00Z", "n": number} for number in range(first, min(first + size, total))]
            body = json.dumps({"items": items}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/items"
    finally:
        server.shutdown()
        server.server_close()
