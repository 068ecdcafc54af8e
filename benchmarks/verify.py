"""Verification of a signed statement in process: all our checks against the bare Sigstore verifier, in one run.

    python benchmarks/verify.py [--json] [--small]

Peer: `sigstore.verify.Verifier.verify_dsse` with one verifier for all bundles, as whoever verifies many would use it.
Ours: `verify_statement`, which calls that very function and then makes the checks that it leaves open: the log's own
checkpoint and index, the timestamp even where another time would do, one spelling, the issuing authority, and the
statement in canonical form. So the ratio is below one by what these checks cost. CPU time, least of rounds in turn.
"""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sigstore.models import Bundle, ClientTrustConfig
from sigstore.verify import Verifier, policy

from appliance.base.clock import SystemClock
from appliance.base.digest import digest_bytes
from appliance.governance.roles import RoleKeys
from appliance.trust import ceremony, statements
from appliance.trust.signer import Signer
from appliance.trust.sigstore_offline import verify_statement
from benchmarks import outcome

GOAL, SMALL_GOAL = 0.8, 0.5  # docs/adr/0010: with every check that Sigstore leaves open
ROLE = "data-scientist"


def main() -> int:
    options = outcome.arguments(__doc__, small="a fifth of the bundles").parse_args()
    with tempfile.TemporaryDirectory(prefix="verify-") as name:
        folder = Path(name)
        keys = RoleKeys(folder / "keys")
        keys.create_all()
        enclave = ceremony.init_trust(folder / "trust", "north", SystemClock(), keys.publics())
        signer = Signer(enclave, enclave.log(), keys, SystemClock())
        bundles = [signer.sign(statement(number), ROLE) for number in range(20 if options.small else 100)]
    identity, issuer, config = enclave.identity(ROLE), enclave.issuer, enclave.trust_config
    verifier = Verifier(trusted_root=ClientTrustConfig.from_json(config.decode()).trusted_root)

    def peer() -> None:
        for bundle in bundles:
            verifier.verify_dsse(Bundle.from_json(bundle), policy.Identity(identity=identity, issuer=issuer))

    def ours() -> None:
        for bundle in bundles:
            verify_statement(bundle, config, identity=identity, issuer=issuer)

    best = {"peer": math.inf, "ours": math.inf}
    ours()  # loads what both use
    for _ in range(7):
        for side, function in (("peer", peer), ("ours", ours)):
            best[side] = min(best[side], cpu_ms(function) / len(bundles))
    return outcome.answer(
        "verify",
        peer=best["peer"],
        ours=best["ours"],
        unit="CPU ms per bundle",
        ratio=best["peer"] / best["ours"],
        goal=SMALL_GOAL if options.small else GOAL,
        table=(
            f"{'sigstore.verify.Verifier':28}{best['peer']:8.3f} CPU ms per bundle",
            f"{'verify_statement':28}{best['ours']:8.3f} CPU ms per bundle",
        ),
        as_json=options.json,
    )


def statement(number: int) -> bytes:
    digest = digest_bytes(b"%d" % number)
    files = {f"part-{index}.onnx": digest for index in range(5)}
    return statements.model(name="m", package_digest=digest, files=files, predicate={"number": number})


def cpu_ms(function: Callable[[], object]) -> float:
    started = time.process_time()
    function()
    return (time.process_time() - started) * 1e3


if __name__ == "__main__":
    sys.exit(main())
