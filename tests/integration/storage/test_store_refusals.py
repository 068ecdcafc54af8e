"""What goes wrong on the way to an S3 server is told within five seconds: a code, the cause, what to do, no secret."""

import io
import subprocess
import time
import traceback
from pathlib import Path

import pytest

from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.secrets.secret import FileSecret
from appliance.storage.s3 import bucket
from appliance.storage.s3.store import S3Store, name_of
from tests.integration.storage.listening import listening
from tests.integration.storage.lying import lying_before
from tests.ports import free_port

LIMIT_S = 5.0


@pytest.fixture(scope="session")
def stranger(tmp_path_factory):
    """The certificate of an authority that has nothing to do with the site."""
    folder = tmp_path_factory.mktemp("stranger")
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=other"]
    subprocess.run([*words, "-keyout", folder / "key", "-out", folder / "ca.pem"], check=True, capture_output=True)
    return folder / "ca.pem"


@pytest.fixture
def wrong_secret(tmp_path):
    (tmp_path / "wrong").write_text("wrong-wrong-wrong\n")
    (tmp_path / "wrong").chmod(0o600)
    return tmp_path / "wrong"


def refused(call, code, *words, secret="never"):
    """The call ends in time, with the code and the words; no secret is told, not even in the traceback."""
    began = time.monotonic()
    with pytest.raises(ApplianceError) as caught:
        call()
    took = time.monotonic() - began
    assert caught.value.code.id == code, caught.value
    for word in words:
        assert word in str(caught.value)
    assert caught.value.hint
    assert secret not in "".join(traceback.format_exception(caught.value))
    print(f"{took:.2f} s: {caught.value}")
    assert took < LIMIT_S


CALLS = {
    "put": lambda store: store.put(b"content"),
    "put a file": lambda store: store.put_file(Path(__file__)),
    "read": lambda store: store.read("sha256:" + "0" * 64),
    "holds": lambda store: store.holds("sha256:" + "0" * 64),
}


@pytest.mark.parametrize("call", sorted(CALLS))
class TestEveryCall:
    def test_a_wrong_secret(self, s3, call, wrong_secret):
        store = S3Store(s3.server(secret=FileSecret(wrong_secret)), "bucket")
        secret = wrong_secret.read_text().strip()
        refused(lambda: CALLS[call](store), "APL-STORAGE-008", "'appliance'", s3.address, secret=secret)

    def test_an_unknown_access_key(self, s3, call):
        store = S3Store(s3.server(access_key="nobody"), "bucket")
        refused(lambda: CALLS[call](store), "APL-STORAGE-008", "'nobody'", secret=s3.secret_file.read_text())

    def test_an_unknown_bucket(self, s3, call):
        refused(lambda: CALLS[call](S3Store(s3.server(), "no-such-bucket")), "APL-STORAGE-009", "'no-such-bucket'")

    def test_another_authority(self, s3, call, stranger):
        store = S3Store(s3.server(authority=stranger), "bucket")
        refused(lambda: CALLS[call](store), "APL-STORAGE-010", str(stranger))

    def test_nobody_listens(self, s3, call):
        address = f"127.0.0.1:{free_port()}"
        refused(lambda: CALLS[call](S3Store(s3.server(address=address), "bucket")), "APL-STORAGE-011", address)


def test_a_name_that_is_not_in_the_certificate(s3):
    """It is for 127.0.0.1 and localhost; 127.1 leads to the same server."""
    server = s3.server(address=f"127.1:{s3.address.partition(':')[2]}")
    refused(lambda: S3Store(server, "bucket").put(b"content"), "APL-STORAGE-010", "127.1")


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n\r\n"], ids=["a mute server", "a server without TLS"])
def test_who_answers_is_no_store(minio, answer):
    with listening(answer) as address:
        refused(lambda: S3Store(minio.server(address=address), "bucket").put(b"x"), "APL-STORAGE-011", address)


@pytest.mark.parametrize("name", ["", "a", "ab", "UPPER", "under_score", "../up", "a" * 64, "new\nline"])
def test_a_name_that_no_bucket_can_have(minio, name):
    refused(lambda: S3Store(minio.server(), name), "APL-STORAGE-009", repr(name))


FILES = {
    "missing": None,
    "empty": b"",
    "a newline alone": b"\n",
    "white space": b" secret",
    "two lines": b"one\ntwo\n",
    "not text": b"\xff\xfe",
}


@pytest.mark.parametrize("case", sorted(FILES))
def test_a_file_without_a_usable_secret(minio, tmp_path, case):
    path = tmp_path / "secret"
    if FILES[case] is not None:
        path.write_bytes(FILES[case])
        path.chmod(0o600)
    refused(lambda: S3Store(minio.server(secret=FileSecret(path)), "bucket"), "APL-STORAGE-014", str(path))


def test_a_secret_that_others_may_read(minio, wrong_secret):
    wrong_secret.chmod(0o640)
    refused(lambda: S3Store(minio.server(secret=FileSecret(wrong_secret)), "bucket"), "APL-STORAGE-014", "got 640")


@pytest.mark.parametrize("text", [None, b"", b"no certificate"], ids=["missing", "empty", "not PEM"])
def test_a_file_without_an_authority(minio, tmp_path, text):
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_bytes(text)
    refused(lambda: S3Store(minio.server(authority=path), "bucket"), "APL-STORAGE-010", str(path))


def test_a_server_that_stops_answers_no_more(minio, site):
    """The connection that was open breaks; when the server is back, the same store works on."""
    place = minio.make()
    store, digest = place.store, place.store.put(b"before")
    assert store.read(digest) == b"before"
    site.down("minio")
    try:
        refused(lambda: store.read(digest), "APL-STORAGE-011")
        refused(lambda: store.put(b"meanwhile"), "APL-STORAGE-011")
    finally:
        site.up("minio")
    assert store.read(store.put(b"after")) == b"after"
    assert store.read(digest) == b"before"


class TestPreparation:
    def test_preparing_again_keeps_what_is_there(self, s3):
        """A locked bucket holds one more version of the one object that shows the lock."""
        place = s3.make(lock_days=1)
        digest = place.store.put(b"content")
        before = place.names()
        bucket.prepare(s3.server(), bucket.Bucket(name=place.bucket, lock_days=1))
        assert place.names() == before
        assert place.versions(digest_bytes(bucket.PROBE)) == 2
        assert place.versions(digest) == 1

    @pytest.mark.parametrize(("kms_key", "found"), [("", "AES256"), ("site-1", "aws:kms")])
    def test_objects_are_encrypted_as_asked(self, minio, kms_key, found):
        place = minio.make(encrypted=True, kms_key=kms_key)
        assert place.names() == []
        digest = place.store.put(b"content")
        headers = minio.client().stat_object(place.bucket, name_of(digest)).metadata
        assert headers["x-amz-server-side-encryption"] == found

    def test_an_unknown_key_is_told(self, minio):
        refused(lambda: minio.make(encrypted=True, kms_key="other"), "APL-STORAGE-013", "encryption")

    def test_encryption_that_a_server_lacks_is_told(self, versitygw):
        refused(lambda: versitygw.make(encrypted=True), "APL-STORAGE-013", "encryption", "NotImplemented")

    @pytest.mark.parametrize(
        ("demands", "words"),
        [
            ({"encrypted": True}, "encrypted an object with nothing"),
            ({"lock_days": 1}, "deleted an object all the same"),
        ],
        ids=["encryption", "object lock"],
    )
    def test_a_server_that_says_yes_and_does_nothing_is_found_out(self, versitygw, site, demands, words):
        place = site.place
        with lying_before(versitygw, place.certificate("versitygw"), place.key("versitygw")) as address:
            wanted = bucket.Bucket(name=f"lie-{next(iter(demands)).replace('_', '-')}", **demands)
            refused(lambda: bucket.prepare(versitygw.server(address=address), wanted), "APL-STORAGE-013", words)

    def test_a_bucket_that_was_made_without_a_lock_cannot_get_one(self, minio):
        name = minio.make().bucket
        call = lambda: bucket.prepare(minio.server(), bucket.Bucket(name=name, lock_days=1))  # noqa: E731
        refused(call, "APL-STORAGE-013", "object lock")

    def test_a_wrong_secret(self, s3, wrong_secret):
        call = lambda: bucket.prepare(s3.server(secret=FileSecret(wrong_secret)), bucket.Bucket(name="some"))  # noqa: E731
        refused(call, "APL-STORAGE-008")


def test_a_stock_client_reads_what_the_product_wrote(s3):
    """Nothing of ours is needed to get at an object."""
    place = s3.make()
    digest = place.store.put(b"content")
    answer = s3.client().get_object(place.bucket, f"{digest[7:9]}/{digest[9:]}")
    assert io.BytesIO(answer.read()).getvalue() == b"content"
    answer.close()
