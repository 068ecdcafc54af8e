"""No byte of a signed bundle can be changed or taken away: every one is signed, or has its one form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.trust import statements
from appliance.trust.auditor.bundles import verify_bundle
from appliance.trust.verifier import bundle as second
from appliance.trust.verifier.envelope import Bundle, check_one_form
from appliance.trust.verifier.policy import TrustedRoot
from appliance.trust.verifier.verdict import HOSTILE, Refused, Verdict
from tests.unit.trust.trusting import make_site

pytestmark = [pytest.mark.integration, pytest.mark.slow]
CHUNKS = 8  # for workers beside each other
Judge = Callable[[bytes], None]


@dataclass(frozen=True, kw_only=True)
class Signed:
    """A small bundle, and what verifiers hold against it."""

    bundle: bytes
    config: bytes
    issuer: str
    origin: str


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Signed:
    site = make_site(tmp_path_factory.mktemp("site"))
    statement = statements.approval(name="m", subject_digest=digest_bytes(b"m"), predicate={})
    bundle = site.anchor.bundle(site.sign(statement, "approver"))
    policy = site.anchor.policy
    return Signed(bundle=bundle, config=site.anchor.config, issuer=policy.issuer, origin=policy.origin)


def auditor(signed: Signed) -> Judge:
    def judge(data: bytes) -> None:
        verify_bundle(data, signed.config, signed.issuer)

    return judge


def second_verifier(signed: Signed) -> Judge:
    """The steps of a bundle in a pack, from `format` to `entry`."""
    root, demand = TrustedRoot(signed.config), second.Demand(issuer=signed.issuer, origin=signed.origin)

    def judge(data: bytes) -> None:
        parsed = Bundle(data)
        check_one_form(data)
        second.Signed(parsed, root, demand, Verdict())

    return judge


VERIFIERS = {"auditor": auditor, "verify.py": second_verifier}
REFUSALS = {"auditor": (ApplianceError,), "verify.py": (Refused, *HOSTILE)}


def mutations(bundle: bytes, chunk: int) -> Iterator[tuple[str, bytes]]:
    """Every chunk-th byte: changed, and taken away."""
    for place in range(chunk, len(bundle), CHUNKS):
        yield f"byte {place} changed", bundle[:place] + bytes([bundle[place] ^ 1]) + bundle[place + 1 :]
        yield f"byte {place} taken away", bundle[:place] + bundle[place + 1 :]


@pytest.mark.parametrize("verifier", VERIFIERS)
def test_the_bundle_as_it_was_written_holds(signed: Signed, verifier: str) -> None:
    VERIFIERS[verifier](signed)(signed.bundle)


@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize("verifier", VERIFIERS)
def test_no_other_bytes_hold(signed: Signed, verifier: str, chunk: int) -> None:
    judge, accepted = VERIFIERS[verifier](signed), []
    for name, data in mutations(signed.bundle, chunk):
        try:
            judge(data)
        except REFUSALS[verifier]:
            continue
        accepted.append(name)
    assert accepted == []
