"""The long proofs: what they run, what they showed last, and whether the code that they cover has changed since.

``make proofs`` lists them. ``make proof-NAME`` runs one and writes ``docs/evidence/NAME.json``: the command, when and
how long it ran, its figures, and the digest of the covered code. A proof that fails writes nothing.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from defusedxml import ElementTree

ROOT = Path(__file__).parents[1]
EVIDENCE = ROOT / "docs" / "evidence"
DATA_TESTS = (
    "tests/integration/topics/test_server_kills.py",
    "tests/integration/topics/test_kills.py",
    "tests/integration/changes/test_capture.py",
)
FUZZ_COVERS = ("appliance/base", "appliance/bundle", "appliance/ingestion/sensitive", "appliance/trust", "tests/fuzz")


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
    from tests.system.kills import prove

    with tempfile.TemporaryDirectory(prefix="proof-") as folder:
        return prove(Path(folder), seed=seed, kills=20, requests=2_100, settings=("pipeline.canary_percent=40",))


def log(seed: int) -> Mapping[str, Any]:
    from tests.fault.trust.kills import prove

    with tempfile.TemporaryDirectory(prefix="proof-") as folder:
        return prove(Path(folder), seed=seed, kills=500)


def fuzz(seed: int) -> Mapping[str, Any]:
    from tests.fuzz.__main__ import run_all
    from tests.fuzz.harness import Outcome, report
    from tests.fuzz.targets import TARGETS

    # It takes two hours: a target that was clean on the very same code is not tried again when a run is gone on with,
    # on another machine too, as what is done so far can be committed.
    kept = under_way(FUZZ_COVERS)
    kept.mkdir(parents=True, exist_ok=True)

    def told(outcome: Outcome) -> None:
        report(outcome)
        if not outcome.fault:
            found = {"inputs": outcome.inputs, "accepted": outcome.accepted, "seed": seed}
            (kept / f"{outcome.target}.json").write_text(json.dumps(found), encoding="utf-8")

    left = [target for target in TARGETS if not (kept / f"{target.name}.json").is_file()]
    outcomes = run_all(left, seconds=600.0, seed=seed, jobs=2, told=told)
    found = [outcome.target for outcome in outcomes if outcome.fault]
    assert not found, f"found something in {', '.join(found)}: see tests/fuzz/corpus"
    clean = {target.name: json.loads((kept / f"{target.name}.json").read_bytes()) for target in TARGETS}
    shutil.rmtree(kept.parent)
    return {
        "processor_seconds_each": 600,
        **{key: {name: each[key] for name, each in clean.items()} for key in ("inputs", "accepted", "seed")},
    }


def gpu(_: int) -> Mapping[str, Any]:  # its recipes name their seed
    from tests.integration.training.gpu import prove

    with tempfile.TemporaryDirectory(prefix="proof-") as folder:
        return prove(Path(folder))


def soak(_seed: int) -> Mapping[str, Any]:
    from tests.integration.topics.soak import prove

    with tempfile.TemporaryDirectory(prefix="proof-") as folder:
        return prove(Path(folder))


def bundle(_seed: int) -> Mapping[str, Any]:
    from tests.system.bundle.proof import prove

    with tempfile.TemporaryDirectory(prefix="proof-") as folder:
        return prove(Path(folder))


def data(seed: int) -> Mapping[str, Any]:
    kills = {"sink": 200, "kafka": 50, "minio": 20, "postgresql": 20, "connect": 20}
    with tempfile.TemporaryDirectory(prefix="proof-") as folder:
        report = Path(folder) / "report.xml"
        asked = " or ".join(("kills_of_servers", "kills_of_the_sink", "kills_of_connect"))
        # Each has servers of its own, and waits for most of its time.
        words = [sys.executable, "-m", "pytest", "-n", "3", *DATA_TESTS, "-k", asked, f"--junitxml={report}"]
        said = {"APPLIANCE_KILLS": json.dumps(kills), "APPLIANCE_TEST_SEED": str(seed)}
        done = subprocess.run(words, cwd=ROOT, env={**os.environ, **said}, check=False)
        assert done.returncode == 0, "a test failed: it says above what was lost or came twice"
        found = {
            f"{case.get('name')}: {each.get('name')}": int(each.get("value", ""))
            for case in ElementTree.parse(report).iter("testcase")
            for each in case.iter("property")
        }
    return {"kills": kills, "seed": seed, **found}


def servers(_seed: int) -> Mapping[str, Any]:
    from servers.builder.proof import prove

    with tempfile.TemporaryDirectory(prefix="proof-") as folder:
        return prove(ROOT, Path(folder))


def _servers_covered() -> Sequence[str]:
    sys.path.insert(0, str(ROOT))
    from servers.builder.proof import covered

    return covered(ROOT)


PROOFS = (
    Proof(
        name="bundle",
        shows="core by two builders who differ in everything: the same bytes, and over volumes to a site; gpu once; "
        "three verifiers accept both",
        covers=("appliance/base", "appliance/bundle", "appliance/trust", "tests/system/bundle/proof.py"),
        run=bundle,
    ),
    Proof(
        name="data",
        shows="kill -9 of sink, Kafka, MinIO, PostgreSQL, Connect, 310 times under load: nothing lost, nothing twice",
        covers=(
            "appliance/base",
            "appliance/ingestion",
            "appliance/storage",
            *DATA_TESTS,
            "tests/integration/kill_counts.py",
            "tests/integration/topics/load.py",
            "tests/integration/topics/on_servers.py",
        ),
        run=data,
    ),
    Proof(
        name="fuzz",
        shows="ten minutes of processor time of mutated inputs for each parser: no crash, no hang, no undeclared error",
        covers=FUZZ_COVERS,
        run=fuzz,
    ),
    Proof(
        name="gpu",
        shows="torch recipes on a real GPU: telemetry by NVML, scores of the CPU, a hidden GPU is an error",
        covers=(
            "appliance/observability/gpu.py",
            "appliance/training",
            "tests/integration/training/gpu.py",
            "tests/integration/training/synthetic_site.py",
        ),
        run=gpu,
    ),
    Proof(
        name="log",
        shows="kill -9 of 500 writers of the log under load: fsck clean each time, no acknowledged entry lost",
        covers=(
            "appliance/base/atomic.py",
            "appliance/trust/edge.py",
            "appliance/trust/fsck.py",
            "appliance/trust/group_commit.py",
            "appliance/trust/log_check.py",
            "appliance/trust/merkle.py",
            "appliance/trust/notes.py",
            "appliance/trust/tiles.py",
            "appliance/trust/tlog.py",
            "tests/fault/trust/injection.py",
            "tests/fault/trust/kills.py",
        ),
        run=log,
    ),
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
            "tests/system/kills.py",
        ),
        run=pipeline_kills,
    ),
    Proof(
        name="servers",
        shows="every Go and Maven server built twice, in other folders with separate caches: the bytes of its recipe",
        covers=_servers_covered(),
        run=servers,
    ),
    Proof(
        name="soak",
        shows="half an hour of 5,000 readings/s with upkeep: memory, files, commits stay; 10,000/s and an outage",
        covers=(
            "appliance/base",
            "appliance/ingestion",
            "appliance/storage",
            "tests/integration/topics/soak.py",
        ),
        run=soak,
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


def under_way(covers: Sequence[str]) -> Path:
    """Where a proof that was stopped keeps what it has done on this code."""
    return EVIDENCE / "fuzz" / digest(covers).removeprefix("sha256:")[:16]


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
        done = len(list(under_way(proof.covers).glob("*.json"))) if proof.name == "fuzz" else 0
        return f"{proof.name:<18} {f'under way, {done} parsers done' if done else 'never run'}: make proof-{proof.name}"
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
