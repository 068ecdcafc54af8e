"""Signatures that are made at once share a commit of the log."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from appliance.base.clock import SystemClock
from appliance.base.digest import digest_bytes
from appliance.trust import keys, signer, statements
from appliance.trust.signer import Signer
from appliance.trust.sigstore_offline import verify_statement
from appliance.trust.tlog import TransparencyLog
from tests.unit.trust.conftest import Signing

SIGNATURES = 12
WITHIN_S = 20.0


class CountingKey:
    """The log's key; each commit signs one checkpoint."""

    def __init__(self, key: keys.SigningKey) -> None:
        self._key = key
        self.used = 0

    @property
    def public(self) -> keys.PublicKey:
        return self._key.public

    def sign(self, data: bytes) -> bytes:
        self.used += 1
        return self._key.sign(data)


def test_signatures_made_at_once_share_a_commit(signing: Signing) -> None:
    enclave, key = signing.enclave, CountingKey(signing.enclave.log_signer)
    log = TransparencyLog(enclave.folder / "log", signing.signer.enclave.log().key.origin, key)
    made = Signer(enclave, log, signing.keys, SystemClock())
    size = log.size()
    listed = [
        statements.model(name=f"m{number}", package_digest=digest_bytes(b"%d" % number), files={}, predicate={})
        for number in range(SIGNATURES)
    ]
    with ThreadPoolExecutor(SIGNATURES) as pool:
        with log.writing():  # until all of them wait
            futures = [pool.submit(made.sign, each, "data-scientist") for each in listed]
            end_s = time.monotonic() + WITHIN_S
            while len(log._group._waiting) < SIGNATURES:
                assert time.monotonic() < end_s
                time.sleep(0.001)
        bundles = [future.result(WITHIN_S) for future in futures]
    assert key.used == 1  # one checkpoint, where there were as many as signatures
    assert log.size() == size + 2 * SIGNATURES
    assert log.fsck().ok
    for statement, bundle in zip(listed, bundles, strict=True):
        assert signer.one_form(bundle) == bundle
        verified = verify_statement(
            bundle, signing.config, identity=enclave.identity("data-scientist"), issuer=enclave.issuer
        )
        assert verified.statement.payload == statement
        assert log.entry(verified.log_index) == verified.entry


def test_signatures_beside_other_writers_verify(signing: Signing) -> None:
    """Each proof leads to a head that was published meanwhile, whoever wrote it."""
    enclave = signing.enclave
    log, other = enclave.log(), enclave.log()
    made = Signer(enclave, log, signing.keys, SystemClock())

    def sign(number: int) -> bytes:
        digest = digest_bytes(b"%d" % number)
        return made.sign(statements.approval(name="m", subject_digest=digest, predicate={}), "approver")

    with ThreadPoolExecutor(6) as pool:
        appends = [pool.submit(other.append, [b"other %d" % number] * (number % 5 + 1)) for number in range(60)]
        bundles = list(pool.map(sign, range(20)))
        assert all(future.result() for future in appends)
    identity = enclave.identity("approver")
    for bundle in bundles:
        verified = verify_statement(bundle, signing.config, identity=identity, issuer=enclave.issuer)
        assert log.root(verified.head.size) == verified.head.root
