"""The client that modules and programs on a host use: whom it believes, and what it does not say."""

import datetime as dt
import http.server
import json
import ssl
import threading

import pytest
from ansible.module_utils.openbao_api import OpenBao, OpenBaoError
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW = dt.datetime.now(dt.UTC)


def own_certificate(folder, ends):
    """Of a server for localhost that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - dt.timedelta(days=60))
        .not_valid_after(ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(made.public_bytes(pem))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, *plain))
    return folder / "certificate.pem"


class Answering(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, body = (200, {"told": told, "token": self.headers["X-Vault-Token"]})
        if self.path == "/v1/denied":
            status, body = 403, {"errors": ["permission denied"]}
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def do_GET(self):
        self.send_response(404)
        self.end_headers()

    def log_message(self, *words):
        pass


@pytest.fixture(params=["stands", "ended"])
def server(tmp_path, request):
    ends = NOW + dt.timedelta(days=1) if request.param == "stands" else NOW - dt.timedelta(days=30)
    authority = own_certificate(tmp_path, ends)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, tmp_path / "key.pem")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as listening:
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield OpenBao(f"https://localhost:{listening.server_port}", [tmp_path / "absent.pem", authority])
        listening.shutdown()


def test_a_server_of_the_authority_is_believed_although_its_certificate_has_ended(server):
    assert server.with_token("t").put("x", {"a": 1}) == {"told": {"a": 1}, "token": "t"}
    assert server.get("x") is None
    assert server.is_up()


def test_a_server_of_another_authority_is_not(server, tmp_path):
    (tmp_path / "other").mkdir()
    other = OpenBao(server.address, [own_certificate(tmp_path / "other", NOW + dt.timedelta(days=1))])
    with pytest.raises(OpenBaoError, match="CERTIFICATE_VERIFY_FAILED"):
        other.get("x")
    assert not other.is_up()


def test_a_server_of_another_name_is_not(server):
    with pytest.raises(OpenBaoError, match=r"not valid for '127\.0\.0\.1'"):
        OpenBao(server.address.replace("localhost", "127.0.0.1"), server.authorities).get("x")


def test_without_an_authority_nobody_is_asked(tmp_path):
    with pytest.raises(OpenBaoError, match=r"absent\.pem is there"):
        OpenBao("https://localhost:1", [tmp_path / "absent.pem"]).get("x")


def test_a_refusal_says_what_and_not_with_which_token(server):
    with pytest.raises(OpenBaoError, match=r"^OpenBao answered 403 to POST denied: permission denied\Z"):
        server.with_token("the token").put("denied", {"password": "the password"})


def test_ids_that_are_not_there_are_no_login(server, tmp_path):
    assert server.login(tmp_path / "nowhere") is None
