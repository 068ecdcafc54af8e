"""Judges the trust material of a pack: whom its custodians tell to believe.

Rules
1. `root`, `metadata`: everything hangs on the pinned digest of the first root, by TUF; what was signed by fewer
   custodians than the root asks for is refused.
2. `targets`: trust config, policies and verifiers in the pack are the targets of that name, byte for byte.
3. `policy`: the three parse, and name the same log.
4. `expiry` is judged again when the newest witnessed time is known: no clock is asked before.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from appliance.base.digest import digest_file
from appliance.base.errors import ApplianceError
from appliance.trust import codes, custody, trust_config, witness_policy
from appliance.trust import policy as policies
from appliance.trust.auditor.case import Case
from appliance.trust.policy import TrustPolicy
from appliance.trust.trust_config import TrustedKeys
from appliance.trust.tuf.client import Trusted
from appliance.trust.witness_policy import WitnessPolicy


@dataclass(frozen=True, kw_only=True)
class Material:
    """Trust material that the custodians signed."""

    trusted: TrustedKeys
    config: bytes
    policy: TrustPolicy
    witnesses: WitnessPolicy


def read_roots(case: Case, at: dt.datetime | None) -> Trusted:
    """The newest trusted metadata; `at` is the time at which none of it may have expired, None asks for none.

    Raises:
        ApplianceError: APL-TUF-001 to -015, the first step that does not hold.
    """
    from appliance.trust.tuf import client

    return client.refresh(
        str(case.folder / "tuf"), case.state, pinned_root_digest=case.question.root_digest, reference_time=at
    )


def judge_material(case: Case) -> Material:
    """Rules 1 to 3.

    Raises:
        ApplianceError: those of `read_roots`; APL-TRUST-035 a file is not its target, APL-TRUST-012, -016 or -005.
    """
    trusted = read_roots(case, None)
    case.holds("root", f"root version {trusted.versions['root']} follows from the pinned {case.question.root_digest}")
    case.holds("metadata", f"targets version {trusted.versions['targets']} is signed by the custodians")
    contents = {}
    for name in custody.COPIES:
        contents[name] = trusted.read(name)
        if (case.folder / name).read_bytes() != contents[name]:
            raise ApplianceError(codes.TARGET_DIFFERS, f"{name} is not the target of that name", where=name)
    for path in sorted((case.folder / "verifiers").glob("*")):
        place = f"verifiers/{path.name}"
        if digest_file(path) != trusted.targets.get(place, trusted.targets.get(path.name)):
            raise ApplianceError(codes.TARGET_DIFFERS, f"{place} is not the target of that name", where=place)
    case.holds("targets", f"{', '.join(custody.COPIES)} and the verifiers are what the custodians signed")
    config = contents[trust_config.FILE_NAME]
    policy = policies.parse_policy(contents[policies.FILE_NAME])
    witnesses = witness_policy.parse_witness_policy(contents[witness_policy.FILE_NAME])
    parsed = trust_config.parse(config)
    if not policy.origin == witnesses.log.origin == parsed.log.origin or witnesses.log.id != parsed.log.id:
        raise ApplianceError(codes.POLICY_INVALID, "trust config, policy and witness policy name different logs")
    case.holds("policy", f"policy version {policy.version} of the log {policy.origin}")
    case.established.append(f"the policy, version {policy.version}, is the one that the custodians signed")
    case.not_established.append("that no newer trust medium exists")
    return Material(trusted=parsed, config=config, policy=policy, witnesses=witnesses)
