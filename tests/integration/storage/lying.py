"""A server that says yes: before a real one, it answers questions about a bucket's lock and encryption by itself."""

import contextlib
import http.client
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
ANSWERS = {
    "?encryption": f"<ServerSideEncryptionConfiguration {NAMESPACE}><Rule><ApplyServerSideEncryptionByDefault>"
    "<SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule>"
    "</ServerSideEncryptionConfiguration>",
    "?object-lock": f"<ObjectLockConfiguration {NAMESPACE}><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule>"
    "<DefaultRetention><Mode>COMPLIANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>",
}


@contextlib.contextmanager
def lying_before(kind, certificate, key):
    """Gives the address of the liar before the server `kind`."""
    trusting = ssl.create_default_context(cafile=str(kind.authority))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            for question, said in ANSWERS.items():
                if question in self.path:
                    data = said.encode() if self.command == "GET" else b""
                    self.give(200, [("Content-Type", "application/xml")], data)
                    return
            # With the host that the client signed for.
            behind = http.client.HTTPSConnection(kind.address, context=trusting, timeout=20)
            behind.request(self.command, self.path, body, dict(self.headers))
            answer = behind.getresponse()
            kept = [each for each in answer.getheaders() if each[0].lower() not in ("content-length", "connection")]
            length = answer.getheader("Content-Length") if self.command == "HEAD" else None
            self.give(answer.status, kept, answer.read(), length)
            behind.close()

        def do_GET(self):
            self.answer()

        def do_PUT(self):
            self.answer()

        def do_POST(self):
            self.answer()

        def do_HEAD(self):
            self.answer()

        def do_DELETE(self):
            self.answer()

        def give(self, status, headers, data, length=None):
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", length or str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
