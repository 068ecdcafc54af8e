"""One contract for every key store, run on files, encrypted files, a SoftHSM token and a real OpenBao server."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import os
import secrets
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from appliance.base.clock import SystemClock
from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.cli.main import run
from appliance.governance.roles import RoleKeys
from appliance.trust import ceremony, certificates, custody, keys, notes, rotation, statements
from appliance.trust.data_keys import DataKeys
from appliance.trust.data_keys_wrap import open_wrapping
from appliance.trust.keys import KeyStore
from appliance.trust.keystores.address import open_store
from appliance.trust.signer import Signer
from appliance.trust.tuf import client, repository
from tests.integration.key_stores import SOFTHSM, address_of, make_token, recipe, start_server, write_secret

needs_token = pytest.mark.skipif(not (SOFTHSM.exists() and shutil.which("softhsm2-util")), reason="needs softhsm2")
needs_server = pytest.mark.skipif(not recipe().BINARY.is_file(), reason="needs make servers")
KINDS = [
    "file",
    "encrypted",
    pytest.param("pkcs11", marks=needs_token),
    pytest.param("openbao", marks=needs_server),
]
DATA = b"what is signed"


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_token(tmp_path_factory.mktemp("token"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    made = start_server(tmp_path_factory.mktemp("openbao"))
    yield made
    made.stop()


@pytest.fixture(params=KINDS)
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "pkcs11":
        return str(request.getfixturevalue("token"))
    if request.param == "openbao":
        return address_of(request.getfixturevalue("server"))
    folder = f"file:{tmp_path}/keys"
    if request.param == "file":
        return folder
    return f"{folder}?passphrase-file={write_secret(tmp_path / 'phrase', 'correct horse')}"


@pytest.fixture
def store(address: str) -> KeyStore:
    return open_store(address)


@pytest.fixture
def name() -> str:
    """Token and server are shared by all tests, so each takes names of its own."""
    return f"k{secrets.token_hex(4)}"


def code_of(caught: pytest.ExceptionInfo[ApplianceError]) -> str:
    return caught.value.code.id


@pytest.mark.parametrize("algorithm", ["p256", "p384", "ed25519"])
def test_a_key_is_made_signs_and_is_found_again(
    store: KeyStore, address: str, name: str, algorithm: keys.Algorithm
) -> None:
    assert not store.holds(name)
    made = store.create(name, algorithm)
    again = open_store(address)
    assert again.holds(name)
    loaded = again.load(name)
    assert keys.key_id(loaded.public) == keys.key_id(made.public)
    kind = ed25519.Ed25519PublicKey if algorithm == "ed25519" else ec.EllipticCurvePublicKey
    assert isinstance(loaded.public, kind)
    assert getattr(getattr(loaded.public, "curve", None), "name", "ed25519") in ("ed25519", f"sec{algorithm}r1")
    for data in (DATA, b"", b"x" * 100_000):
        signature = loaded.sign(data)
        assert keys.is_signature(made.public, signature, data)
        assert not keys.is_signature(made.public, signature, data + b"!")


def test_a_key_is_never_overwritten(store: KeyStore, name: str) -> None:
    before = keys.key_id(store.create(name, "p256").public)
    for algorithm in ("p256", "ed25519"):
        with pytest.raises(ApplianceError) as caught:
            store.create(name, algorithm)  # type: ignore[arg-type]
        assert code_of(caught) == "APL-TRUST-006"
    assert keys.key_id(store.load(name).public) == before


def test_a_missing_key(store: KeyStore, name: str) -> None:
    assert not store.holds(name)
    with pytest.raises(ApplianceError) as caught:
        store.load(name)
    assert code_of(caught) == "APL-TRUST-005"


@pytest.mark.parametrize("name", ["", "../a", "a/b", "A", "-a", "a.pem", "a\n", "a" * 64])
def test_names_that_are_refused(store: KeyStore, name: str) -> None:
    for use in (store.holds, store.load, lambda name: store.create(name, "p256")):
        with pytest.raises(ApplianceError, match="a key name has letters a to z") as caught:
            use(name)
        assert code_of(caught) == "APL-TRUST-005"


def test_certificates_and_checkpoints(store: KeyStore, name: str) -> None:
    """Unlike data that we hash here, these go through every byte that a verifier will look at."""
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    end = start + dt.timedelta(days=400)
    root_key, key = store.create(f"{name}-root", "p384"), store.create(f"{name}-ca", "p384")
    root = certificates.issue_root(root_key, name="R", start=start, end=end)
    authority = certificates.issue_authority(key, name="A", root=root, root_key=root_key, start=start, end=end)
    authority.verify_directly_issued_by(root)
    leaf = keys.generate("p256")
    issued = certificates.issue_leaf(
        leaf.public,
        identity="https://north.appliance.internal/roles/operator",
        issuer="https://idp.north.appliance.internal",
        token_subject=digest_bytes(b""),
        authority=authority,
        authority_key=key,
        ct_key=store.create(f"{name}-ct", "p256"),
        now=start + dt.timedelta(days=1),
    )
    issued.verify_directly_issued_by(authority)
    log_signer = store.create(f"{name}-log", "ed25519")
    log = notes.log_key("log.north.appliance.internal", log_signer.public)
    note = notes.sign_checkpoint(log_signer, log, 7, bytes(32))
    assert notes.open_checkpoint(note, log).size == 7


WORKER = """
import sys
from appliance.base.errors import ApplianceError
from appliance.trust import keys
from appliance.trust.keystores.address import open_store
store = open_store(sys.argv[1])
sys.stdin.readline()
try:
    key = store.create(sys.argv[2], "p256")
    print("made", keys.key_id(key.public))
except ApplianceError as error:
    print(error.code.id)
shared = store.load(sys.argv[3])
for number in range(20):
    data = b"%d" % number
    assert keys.is_signature(shared.public, shared.sign(data), data)
print("signed")
"""


def test_two_threads_at_once(store: KeyStore, address: str, name: str) -> None:
    store.create(name, "p256")
    again = open_store(address)  # nothing of it is open yet

    def sign(number: int) -> bool:
        key = again.load(name)
        return all(keys.is_signature(key.public, key.sign(b"%d" % number), b"%d" % number) for _ in range(5))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert all(pool.map(sign, range(8)))


def test_two_processes_at_once(store: KeyStore, address: str, name: str) -> None:
    """They sign with one key, and of two that make the same key at most one succeeds.

    OpenBao does not tell a maker that another one was first; there both may succeed, with one key.
    """
    store.create(f"{name}-shared", "p256")
    words = [sys.executable, "-c", WORKER, address, name, f"{name}-shared"]
    workers = [
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    said = [worker.communicate(timeout=60) for worker in workers]
    lines = [out.splitlines() for out, _ in said]
    assert [each[1:] for each in lines] == [["signed"]] * 2, said
    made = [each[0].split()[1] for each in lines if each[0].startswith("made")]
    refused = [each[0] for each in lines if not each[0].startswith("made")]
    assert set(refused) <= {"APL-TRUST-006"}, said
    assert len(set(made) if address.startswith("openbao:") else made) <= 1
    if made:
        assert keys.key_id(open_store(address).load(name).public) == made[0]


def test_the_whole_ceremony_and_signatures_that_the_unmodified_program_accepts(
    store: KeyStore, address: str, tmp_path: Path
) -> None:
    """One signature after the ceremony, and one after every key of the enclave was rotated."""
    roles = RoleKeys(tmp_path / "roles")
    roles.create_all()
    for name in ceremony.ALGORITHMS:
        if store.holds(name):
            pytest.fail(f"another test has made {name}")
    ceremony.init_trust(tmp_path / "trust", "north", SystemClock(), roles.publics(), store)
    assert not (tmp_path / "trust/enclave").exists()
    sign_and_verify(tmp_path, roles, open_store(address), b"an artifact")
    for use in rotation.ROTATED:
        held = custody.open_custody(tmp_path / "trust")
        rotation.rotate(tmp_path / "trust", use, store=store, held=held, now=SystemClock().now())
    sign_and_verify(tmp_path, roles, open_store(address), b"another artifact")


def sign_and_verify(folder: Path, roles: RoleKeys, store: KeyStore, artifact: bytes) -> None:
    enclave = ceremony.open_enclave(folder / "trust", store)
    signer = Signer(enclave, enclave.log(), roles, SystemClock())
    statement = statements.approval(name="a", subject_digest=digest_bytes(artifact), predicate={"reason": "read"})
    (folder / "bundle.json").write_bytes(signer.sign(statement, "approver"))
    (folder / "config.json").write_bytes(enclave.trust_config)
    (folder / "artifact").write_bytes(artifact)
    words = [
        "unshare", "-n", str(Path(sys.executable).with_name("sigstore")), "--trust-config", folder / "config.json",
        "verify", "identity", "--bundle", folder / "bundle.json", "--cert-identity", enclave.identity("approver"),
        "--cert-oidc-issuer", enclave.issuer, folder / "artifact",
    ]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("algorithm", ["ed25519", "p256", "p384"])
def test_a_custodian_may_keep_the_key_there(
    store: KeyStore, name: str, tmp_path: Path, algorithm: keys.Algorithm
) -> None:
    """Trust roots signed with a key of the store, which our client believes."""
    custodians = [store.create(name, algorithm), keys.generate("ed25519"), keys.generate("mldsa65")]
    now = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    publisher = keys.generate("ed25519")
    pinned = repository.create(tmp_path / "m", custodians=custodians, publisher=publisher, targets={"a": b"1"}, now=now)
    trusted = client.refresh(str(tmp_path / "m"), tmp_path / "s", pinned_root_digest=pinned, reference_time=now)
    assert trusted.read("a") == b"1"


def test_a_ceremony_does_not_take_over_the_keys_of_another(tmp_path: Path) -> None:
    address = f"file:{tmp_path}/keys"
    ceremony.init_trust(tmp_path / "a", "north", SystemClock(), {}, open_store(address))
    with pytest.raises(ApplianceError) as caught:
        ceremony.init_trust(tmp_path / "b", "north", SystemClock(), {}, open_store(address))
    assert code_of(caught) == "APL-TRUST-006"
    assert not (tmp_path / "b").exists()


class TestEncryptedFiles:
    def test_nothing_of_the_key_is_plain(self, tmp_path: Path) -> None:
        phrase = write_secret(tmp_path / "phrase", "correct horse\n")
        open_store(f"file:{tmp_path}/keys?passphrase-file={phrase}").create("a", "p256")
        path = tmp_path / "keys/a.pem"
        assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        done = subprocess.run(
            ["openssl", "pkey", "-in", path, "-passin", f"file:{phrase}", "-noout"], capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def test_a_wrong_passphrase(self, tmp_path: Path) -> None:
        phrase = write_secret(tmp_path / "phrase", "correct horse")
        address = f"file:{tmp_path}/keys?passphrase-file={phrase}"
        open_store(address).create("a", "mldsa65")
        write_secret(phrase, "wrong horse")
        with pytest.raises(ApplianceError) as caught:
            open_store(address).load("a")
        assert code_of(caught) == "APL-KEYS-004"
        with pytest.raises(ApplianceError, match="not an unencrypted") as caught:
            open_store(f"file:{tmp_path}/keys").load("a")
        assert code_of(caught) == "APL-TRUST-005"

    def test_a_plain_file_is_not_taken_for_an_encrypted_one(self, tmp_path: Path) -> None:
        open_store(f"file:{tmp_path}/keys").create("a", "p256")
        phrase = write_secret(tmp_path / "phrase", "correct horse")
        with pytest.raises(ApplianceError) as caught:
            open_store(f"file:{tmp_path}/keys?passphrase-file={phrase}").load("a")
        assert code_of(caught) == "APL-TRUST-005"

    def test_from_an_open_file(self, tmp_path: Path) -> None:
        reading, writing = os.pipe()
        os.write(writing, b"correct horse\n")
        os.close(writing)
        open_store(f"file:{tmp_path}/keys?passphrase-fd={reading}").create("a", "p256")
        phrase = write_secret(tmp_path / "phrase", "correct horse")
        open_store(f"file:{tmp_path}/keys?passphrase-file={phrase}").load("a")


class TestSecrets:
    @pytest.mark.parametrize(
        ("content", "mode", "code"),
        [
            (b"", 0o600, "APL-KEYS-005"),
            (b"\n", 0o600, "APL-KEYS-005"),
            (b"\xff", 0o600, "APL-KEYS-005"),
            (b"x" * 5000, 0o600, "APL-KEYS-005"),
            (b"x", 0o644, "APL-TRUST-004"),
            (None, 0, "APL-KEYS-005"),
        ],
    )
    def test_files_that_are_no_secrets(self, tmp_path: Path, content: bytes | None, mode: int, code: str) -> None:
        path = tmp_path / "secret"
        if content is not None:
            path.write_bytes(content)
            path.chmod(mode)
        for address in (
            f"file:{tmp_path}/k?passphrase-file={path}",
            f"pkcs11:token=x?module-path={SOFTHSM}&pin-source=file:{path}",
            f"openbao:http://127.0.0.1:1?token-file={path}",
        ):
            with pytest.raises(ApplianceError) as caught:
                open_store(address)
            assert code_of(caught) == code


@pytest.mark.parametrize(
    "address",
    [
        "",
        "keys",
        "vault:x",
        "file:",
        "file://server/keys",
        "file:/keys#x",
        "file:/keys?passphrase=x",
        "file:/keys?passphrase-fd=x",
        "file:/keys?passphrase-file=a&passphrase-fd=3",
        "pkcs11:?module-path=m&pin-source=p",
        "pkcs11:token=a?module-path=m",
        "pkcs11:token=a?module-path=m&pin-value=1234",
        "pkcs11:token=a;token=b?module-path=m&pin-source=p",
        "pkcs11:object=a?module-path=m&pin-source=p",
        "openbao:http://10.0.0.1:8200?token-file=t",
        "openbao:http://localhost:8200?token-file=t",
        "openbao:https://user@host?token-file=t",
        "openbao:https://host/path?token-file=t",
        "openbao:https://host",
        "openbao:https://host?token=t",
        "openbao:https://host?role-id-file=r",
        "openbao:https://host?token-file=t&role-id-file=r&secret-id-file=s",
    ],
)
def test_addresses_that_are_refused(address: str) -> None:
    with pytest.raises(ApplianceError) as caught:
        open_store(address)
    assert code_of(caught) == "APL-KEYS-001"


@needs_token
class TestToken:
    def test_a_wrong_pin(self, token: str, tmp_path: Path) -> None:
        """In a process of its own, because a login is shared by all of one."""
        wrong = token.partition("&pin-source=")[0] + f"&pin-source={write_secret(tmp_path / 'pin', '999999')}"
        script = (
            "import sys\nfrom appliance.trust.keystores.address import open_store\n"
            "from appliance.base.errors import ApplianceError\n"
            "try: open_store(sys.argv[1]).holds('a')\nexcept ApplianceError as error: print(error.code.id)\n"
        )
        done = subprocess.run([sys.executable, "-c", script, wrong], capture_output=True, text=True, check=True)
        assert done.stdout == "APL-KEYS-004\n"
        open_store(token).holds("a")
        with pytest.raises(ApplianceError, match="not the PIN that the token accepted") as caught:
            open_store(wrong).holds("a")
        assert code_of(caught) == "APL-KEYS-004"

    def test_no_such_token_and_no_such_driver(self, token: str) -> None:
        for address in (token.replace("token=enclave", "token=other"), token.replace("libsofthsm2.so", "none.so")):
            with pytest.raises(ApplianceError) as caught:
                open_store(address).holds("a")
            assert code_of(caught) == "APL-KEYS-002"

    def test_no_lattice_key(self, token: str) -> None:
        with pytest.raises(ApplianceError) as caught:
            open_store(token).create("a", "mldsa65")
        assert code_of(caught) == "APL-KEYS-006"

    def test_a_key_that_another_program_made(self, token: str, name: str) -> None:
        """One made by pkcs11-tool is used; one that may leave the token is not."""
        pin = Path(token.partition("pin-source=")[2]).read_text().strip()
        base = ["pkcs11-tool", "--module", SOFTHSM, "--token-label", "enclave", "--login", "--pin", pin]
        subprocess.run(
            [*base, "--keypairgen", "--key-type", "EC:prime256v1", "--label", name, "--usage-sign"],
            check=True,
            capture_output=True,
        )
        key = open_store(token).load(name)
        assert keys.is_signature(key.public, key.sign(DATA), DATA)
        subprocess.run(
            [*base, "--keypairgen", "--key-type", "EC:prime256v1", "--label", f"{name}-x", "--extractable"],
            check=True,
            capture_output=True,
        )
        with pytest.raises(ApplianceError) as caught:
            open_store(token).load(f"{name}-x")
        assert code_of(caught) == "APL-TRUST-004"


@needs_server
class TestServer:
    def test_an_approle(self, server: Any, name: str) -> None:
        address = (
            f"openbao:{server.address}?prefix=north-&role-id-file={server.folder}/role-id"
            f"&secret-id-file={server.folder}/secret-id"
        )
        key = open_store(address).create(name, "p384")
        assert keys.is_signature(key.public, key.sign(DATA), DATA)

    def test_wrong_secrets(self, server: Any, tmp_path: Path) -> None:
        wrong = write_secret(tmp_path / "wrong", "s.wrong")
        for address in (
            f"openbao:{server.address}?prefix=north-&token-file={wrong}",
            f"openbao:{server.address}?prefix=north-&role-id-file={server.folder}/role-id&secret-id-file={wrong}",
            f"openbao:{server.address}?prefix=south-&token-file={server.folder}/enclave-token",
        ):
            with pytest.raises(ApplianceError) as caught:
                open_store(address).holds("a")
            assert code_of(caught) == "APL-KEYS-004"

    def test_no_answer_within_five_seconds(self, server: Any) -> None:
        with socket.socket() as deaf:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen()
            for port in (deaf.getsockname()[1], 1):
                begin = time.monotonic()
                with pytest.raises(ApplianceError) as caught:
                    open_store(f"openbao:http://127.0.0.1:{port}?token-file={server.folder}/enclave-token").holds("a")
                assert code_of(caught) == "APL-KEYS-002"
                assert time.monotonic() - begin < 5

    def test_a_site_on_the_server(self, server: Any, tmp_path: Path) -> None:
        """From the setting to commands; another prefix, for names of the site north are taken by other tests."""
        address = address_of(server).replace("prefix=north-", "prefix=north-site-")
        site = str(tmp_path / "site")
        assert run(["site", "init", "--site", site, "--set", f"trust.keys={address}"]) == 0
        assert not (tmp_path / "site/trust/enclave").exists()
        assert run(["trust", "rotate", "log", "--reason", "yearly", "--site", site]) == 0
        assert run(["trust", "status", "--site", site]) == 0
        assert run(["audit", "check", "--site", site]) == 0

    def test_rotation_by_the_server_changes_no_key(self, server: Any, name: str) -> None:
        store = open_store(address_of(server))
        before = store.create(name, "ed25519")
        server.ask("POST", f"transit/keys/north-{name}/rotate", {}, server.secret("root-token"))
        after = store.load(name)
        assert keys.key_id(after.public) == keys.key_id(before.public)
        assert keys.is_signature(before.public, after.sign(DATA), DATA)

    def test_keys_of_others(self, server: Any, name: str) -> None:
        """One that can be exported, and one of a kind that we do not use."""
        root = server.secret("root-token")
        server.ask("POST", f"transit/keys/north-{name}-x", {"type": "ed25519", "exportable": True}, root)
        server.ask("POST", f"transit/keys/north-{name}-y", {"type": "aes256-gcm96"}, root)
        for suffix, code in (("x", "APL-TRUST-004"), ("y", "APL-TRUST-005")):
            with pytest.raises(ApplianceError) as caught:
                open_store(address_of(server)).load(f"{name}-{suffix}")
            assert code_of(caught) == code

    def test_no_lattice_key(self, server: Any) -> None:
        with pytest.raises(ApplianceError) as caught:
            open_store(address_of(server)).create("a", "mldsa65")
        assert code_of(caught) == "APL-KEYS-006"

    def test_sealed_after_a_restart_and_the_same_keys_after_that(self, server: Any, name: str) -> None:
        store = open_store(address_of(server))
        key = store.create(name, "p256")
        server.stop()
        with pytest.raises(ApplianceError) as caught:
            key.sign(DATA)
        assert code_of(caught) == "APL-KEYS-002"
        server.start()
        with pytest.raises(ApplianceError) as caught:
            key.sign(DATA)
        assert code_of(caught) == "APL-KEYS-003"
        server.unseal()
        assert keys.is_signature(key.public, key.sign(DATA), DATA)


def test_a_site_that_keeps_its_keys_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The setting reaches the ceremony and every later command."""
    phrase = write_secret(tmp_path / "phrase", "correct horse")
    address = f"file:{tmp_path}/elsewhere?passphrase-file={phrase}"
    site = str(tmp_path / "site")
    assert run(["site", "init", "--site", site, "--set", f"trust.keys={address}"]) == 0
    assert sorted(path.stem for path in (tmp_path / "elsewhere").iterdir()) == sorted(ceremony.ALGORITHMS)
    assert not (tmp_path / "site/trust/enclave").exists()
    assert run(["trust", "export", str(tmp_path / "taken"), "--site", site]) == 0
    write_secret(phrase, "wrong horse")
    capsys.readouterr()
    assert run(["trust", "export", str(tmp_path / "again"), "--site", site]) == 1
    assert "APL-KEYS-004" in capsys.readouterr().err


def data_keys_of(address: str, folder: Path) -> DataKeys:
    return DataKeys(folder / "data", lambda: open_wrapping(open_store(address)), SystemClock())


def test_data_keys_are_wrapped_by_the_store_and_gone_when_erased(
    request: pytest.FixtureRequest, address: str, tmp_path: Path
) -> None:
    if address.startswith("pkcs11:"):
        with pytest.raises(ApplianceError) as caught:
            data_keys_of(address, tmp_path).token("kind", "text")
        assert code_of(caught) == "APL-KEYS-008"
        return
    keys_of_site = data_keys_of(address, tmp_path)
    first, second = (keys_of_site.id_of("subject", name) for name in ("c-1", "c-2"))
    sealed = {id: key.seal(b"4111", b"place") for id, key in keys_of_site.ensure([first, second]).items() if key}
    assert len(sealed) == 2
    again = data_keys_of(address, tmp_path)
    assert again.erase([first]) == 1
    assert again.get([first]) == {first: None}
    kept = data_keys_of(address, tmp_path).get([second])[second]
    assert kept is not None
    assert kept.open(sealed[second], b"place") == b"4111"
    many = [keys_of_site.id_of("subject", str(number)) for number in range(1_200)]
    assert all(keys_of_site.ensure(many).values())


@needs_server
def test_data_keys_of_another_server_do_not_open(server: Any, tmp_path: Path) -> None:
    keys_of_site = data_keys_of(address_of(server), tmp_path / "site")
    keys_of_site.ensure([keys_of_site.id_of("subject", "c-1")])
    other = start_server(tmp_path / "other")
    try:
        moved = data_keys_of(address_of(other), tmp_path / "site")
        with pytest.raises(ApplianceError) as caught:
            moved.token("kind", "text")
        assert code_of(caught) == "APL-TRUST-037"
    finally:
        other.stop()
