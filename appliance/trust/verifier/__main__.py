"""The command line: ``verify.py bundle ...``, ``verify.py pack ...`` and ``verify.py release ...``.

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
from typing import Any

from .bundle import Artifact, Demand, verify_bundle
from .encoding import conform, decode_base64, encode_base64, parse_digest, parse_json, parse_time
from .envelope import MAX_BUNDLE_BYTES
from .log import WitnessPolicy
from .medium import Medium
from .pack import Seen, Statement, verify_pack
from .policy import TrustedRoot
from .release import Release, parse_version, verify_release
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
    pack.add_argument("--bundle", metavar="HEX", help="verify this statement's bundle only")
    pack.add_argument("pack", type=Path)
    release = verbs.add_parser("release", help="a bundle to install: its evidence and every file")
    release.add_argument("folder", type=Path)
    for verb in (pack, release):
        verb.add_argument(
            "--root-digest", type=parse_digest, required=True, metavar="sha256:HEX", help="as printed at the ceremony"
        )
        verb.add_argument("--state", type=Path, help="what was seen before; written when all holds")
        verb.add_argument("--not-older-than", type=parse_time, metavar="TIME", help="RFC 3339 in UTC")
    for verb, run in ((bundle, _bundle), (pack, _pack), (release, _release)):
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
    seen, releases = _read_state(options.state)
    now_seen, _ = _judge_pack(options, options.pack, verdict, seen=seen, only=options.bundle)
    _save_state(options.state, now_seen, releases)


def _release(options: argparse.Namespace, verdict: Verdict) -> None:
    require((options.folder / "trust").is_dir(), f"there is no {options.folder / 'trust'}")
    seen, releases = _read_state(options.state)
    now_seen, statements = _judge_pack(options, options.folder / "trust", verdict, seen=seen)
    found = verify_release(options.folder, statements, releases, verdict)
    _save_state(options.state, now_seen, releases | {found.bundle: found})


def _judge_pack(
    options: argparse.Namespace, path: Path, verdict: Verdict, **question: Any
) -> tuple[Seen, list[Statement]]:
    with verdict.step("pack"):
        medium = Medium(path)
    with contextlib.closing(medium):
        return verify_pack(medium, options.root_digest, verdict, not_older_than=options.not_older_than, **question)


def _read_state(path: Path | None) -> tuple[Seen | None, dict[str, Release]]:
    if path is None or not path.exists():
        return None, {}
    one = {"version": lambda text: ".".join(map(str, parse_version(text))), "manifest": parse_digest}
    form = {"origin": str, "size": int, "root": decode_base64, "releases?": {"*": one}}
    state = conform(parse_json(path.read_bytes()), form)
    releases = {name: Release(bundle=name, **each) for name, each in (state.pop("releases") or {}).items()}
    return Seen(**state), releases


def _save_state(path: Path | None, seen: Seen, releases: dict[str, Release]) -> None:
    """The old state or the new one, whatever happens: written beside, synced, renamed."""
    if path is None:
        return
    value: dict[str, Any] = {"origin": seen.origin, "size": seen.size, "root": encode_base64(seen.root)}
    if releases:
        value["releases"] = {
            name: {"version": each.version, "manifest": each.manifest} for name, each in sorted(releases.items())
        }
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
