"""The command line: ``verify.py bundle ...`` and ``verify.py pack ...``.

Exit codes: 0 every step holds, 3 one does not and is named, 2 wrong use.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from .bundle import Artifact, Demand, verify_bundle
from .encoding import conform, decode_base64, encode_base64, parse_digest, parse_json, parse_time
from .envelope import MAX_BUNDLE_BYTES
from .log import WitnessPolicy
from .medium import Medium
from .pack import Seen, verify_pack
from .policy import TrustedRoot
from .verdict import Refused, Verdict, require

VERIFIED, USAGE, REFUSED = 0, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    verdict = Verdict()
    try:
        options.run(options, verdict)
    except Refused as refused:
        verdict.refused = refused
    except (ValueError, OSError) as error:  # of the auditor's own files and words; the evidence raises Refused
        parser.exit(USAGE, f"verify.py: {error}\n")
    sys.stdout.write(json.dumps(verdict.document(), indent=1) + "\n" if options.json else _show(verdict))
    return REFUSED if verdict.refused else VERIFIED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="verify.py", description="Verifies signed evidence, offline.")
    verbs = parser.add_subparsers(required=True)
    bundle = verbs.add_parser("bundle", help="one Sigstore bundle against a trusted root")
    bundle.add_argument("--trusted-root", type=Path, required=True, help="TrustedRoot or ClientTrustConfig, JSON")
    bundle.add_argument("--identity", required=True, help="subject alternative name of the signer")
    bundle.add_argument("--issuer", required=True, help="identity provider in the certificate")
    bundle.add_argument("--tlog-policy", type=Path, help="C2SP tlog-policy whose quorum the checkpoint must meet")
    bundle.add_argument("bundle", type=Path)
    bundle.add_argument("artifact", help="a file, or sha256:HEX")
    pack = verbs.add_parser("pack", help="an audit pack, folder or tar")
    pack.add_argument(
        "--root-digest", type=parse_digest, required=True, metavar="sha256:HEX", help="as printed at the ceremony"
    )
    pack.add_argument("--state", type=Path, help="what was seen before; written when all holds")
    pack.add_argument("--not-older-than", type=parse_time, metavar="TIME", help="RFC 3339 in UTC")
    pack.add_argument("--bundle", metavar="HEX", help="verify this statement's bundle only")
    pack.add_argument("pack", type=Path)
    for verb, run in ((bundle, _bundle), (pack, _pack)):
        verb.add_argument("--json", action="store_true", help="one JSON object instead of text")
        verb.set_defaults(run=run)
    return parser


def _bundle(options: argparse.Namespace, verdict: Verdict) -> None:
    root = TrustedRoot(options.trusted_root.read_bytes())
    policy = WitnessPolicy(options.tlog_policy.read_bytes()) if options.tlog_policy else None
    if re.fullmatch(r"sha256:[0-9a-f]{64}", options.artifact):
        artifact = Artifact(sha256=bytes.fromhex(options.artifact[7:]))
    else:
        artifact = Artifact(path=Path(options.artifact))
        artifact.hash("sha256")  # a file that cannot be read is wrong use
    with options.bundle.open("rb") as file:
        data = file.read(MAX_BUNDLE_BYTES + 1)
    demand = Demand(identity=options.identity, issuer=options.issuer, artifact=artifact)
    verify_bundle(data, root, demand, policy, verdict)


def _pack(options: argparse.Namespace, verdict: Verdict) -> None:
    require(re.fullmatch(r"[0-9a-f]{64}|", options.bundle or ""), "--bundle takes 64 hex digits")
    require(options.pack.exists(), f"there is no {options.pack}")
    seen = None
    if options.state and options.state.exists():
        form = {"origin": str, "size": int, "root": decode_base64}
        seen = Seen(**conform(parse_json(options.state.read_bytes()), form))
    with verdict.step("pack"):
        medium = Medium(options.pack)
    demand = {"seen": seen, "not_older_than": options.not_older_than, "only": options.bundle}
    with contextlib.closing(medium):
        now_seen = verify_pack(medium, options.root_digest, verdict, **demand)
    if options.state:
        _save_state(options.state, now_seen)


def _save_state(path: Path, seen: Seen) -> None:
    """The old state or the new one, whatever happens: written beside, synced, renamed."""
    value = {"origin": seen.origin, "size": seen.size, "root": encode_base64(seen.root)}
    draft = path.with_name(f".tmp-{path.name}")
    with draft.open("w") as file:
        file.write(json.dumps(value) + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def _show(verdict: Verdict) -> str:
    """One fact a line. What others wrote can neither end a line nor speak to the terminal."""
    lines = [f"ok {step}" for step in verdict.checked]
    if verdict.refused:
        lines.append(f"REFUSED {verdict.refused}")
    else:
        lines += [f"established: {fact}" for fact in verdict.established]
        lines += [f"not established: {fact}" for fact in verdict.not_established]
        lines.append("VERIFIED")
    plain = ("".join(each if " " <= each <= "~" else f"\\x{ord(each):02x}" for each in line) for line in lines)
    return "".join(f"{line}\n" for line in plain)


if __name__ == "__main__":
    sys.exit(main())
