"""The long proofs: what they run, what they showed last, and whether the code that they cover has changed since.

``make proofs`` lists them. ``make proof-NAME`` runs one and writes ``docs/evidence/NAME.json``: the command, when and
how long it ran, its figures, and the digest of the covered code. A proof that fails writes nothing.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
EVIDENCE = ROOT / "docs" / "evidence"


@dataclass(frozen=True, kw_only=True)
class Proof:
    """One long proof.

    Attributes:
        shows: what it proves, one sentence.
        covers: folders and files of the repository; a change of any byte below them makes the evidence old.
        run: takes a seed, gives figures; raises AssertionError when the proof fails.
    """

    name: str
    shows: str
    covers: Sequence[str]
    run: Callable[[int], Mapping[str, Any]]


def pipeline_kills(seed: int) -> Mapping[str, Any]:
    from tests.integration.kills import prove

    with tempfile.TemporaryDirectory(prefix="proof-") as folder:
        return prove(Path(folder), seed=seed, kills=20, requests=2_100, settings=("pipeline.canary_percent=40",))


PROOFS = (
    Proof(
        name="pipeline-kills",
        shows="kill -9 at twenty random moments of `appliance pipeline run`: the end is that of an undisturbed run",
        covers=(
            "appliance/base",
            "appliance/governance",
            "appliance/ingestion",
            "appliance/orchestration",
            "appliance/serving",
            "appliance/storage",
            "appliance/training",
            "appliance/trust",
            "tests/integration/kills.py",
        ),
        run=pipeline_kills,
    ),
)


def digest(covers: Sequence[str], root: Path = ROOT) -> str:
    """SHA-256 over names and bytes of the covered files."""
    hasher = hashlib.sha256()
    for each in covers:
        path = root / each
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            hasher.update(file.relative_to(root).as_posix().encode() + b"\0")
            hasher.update(hashlib.sha256(file.read_bytes()).digest())
    return f"sha256:{hasher.hexdigest()}"


def run(proof: Proof, seed: int) -> Path:
    """Run a proof and write its evidence."""
    covered, started = digest(proof.covers), time.monotonic()
    figures = proof.run(seed)
    evidence = {
        "proof": proof.name,
        "shows": proof.shows,
        "command": f"make proof-{proof.name} ARGS=--seed={seed}",
        "made_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - started, 1),
        "seed": seed,
        "figures": figures,
        "covers": list(proof.covers),
        "digest": covered,
    }
    path = EVIDENCE / f"{proof.name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(evidence, indent=1) + "\n", encoding="utf-8")
    return path


def listed(proof: Proof, now: dt.datetime) -> str:
    """One line about a proof."""
    path = EVIDENCE / f"{proof.name}.json"
    if not path.is_file():
        return f"{proof.name:<18} never run: make proof-{proof.name}"
    evidence = json.loads(path.read_bytes())
    days = (now - dt.datetime.fromisoformat(evidence["made_at"])).days
    same = evidence["digest"] == digest(proof.covers)
    return f"{proof.name:<18} {days} days old, {'covers this code' if same else 'the covered code has changed since'}"


def main(arguments: Sequence[str]) -> int:
    if not arguments:
        print("\n".join(listed(proof, dt.datetime.now(dt.UTC)) for proof in PROOFS))
        return 0
    name, *options = arguments
    proof = next((each for each in PROOFS if each.name == name), None)
    if proof is None or any(not option.startswith("--seed=") for option in options):
        print(f"usage: proofs.py [{'|'.join(each.name for each in PROOFS)}] [--seed=N]", file=sys.stderr)
        return 2
    seed = int(options[-1].partition("=")[2]) if options else secrets.randbelow(10**6)
    print(f"{name}: seed {seed}", file=sys.stderr)
    print(run(proof, seed).relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main(sys.argv[1:]))
