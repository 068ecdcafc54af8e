"""The expected verdict of each verifier on each case, in ``expected.toml``; a documentation page is made from it."""

from __future__ import annotations

import json
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from appliance.trust import standalone
from tests.system.trust.opinions import ask, command
from tests.unit.trust.verifier.sigstore_maker import Scene
from tests.vectors.trust import bundles, packs

FILE = Path(__file__).parent / "expected.toml"
HEAD = """# What each verifier says of each case: "holds", the step that it refuses, or "refused" where it names none.
# Written by `python -m tests.vectors.trust`; every change of a line is a change of what a verifier accepts.
"""
Row = dict[str, str]


def load() -> dict[str, dict[str, Row]]:
    """Table (pack or bundle) -> case -> verifier -> verdict."""
    found: dict[str, Any] = tomllib.loads(FILE.read_text())
    return found


def pack_row(case: packs.Case, shelf: packs.Shelf, script: Path, folder: Path) -> Row:
    pack, pinned = shelf.make(case, folder)
    return {
        "sigstore": packs.ask_sigstore(pack),
        "auditor": packs.ask_auditor(pack, pinned),
        "verify_py": case.expected,  # it is held to that in tests/unit/trust/verifier
        "verify_sh": ask(command(str(script), str(pack), pinned)) or packs.HOLDS,
    }


def bundle_row(make: bundles.Make, scene: Scene, script: Path, folder: Path) -> Row:
    asked = make(scene)
    return {
        "sigstore": bundles.ask_sigstore(asked),
        "verify_py": bundles.ask_python(asked, folder),
        "verify_sh": bundles.ask_shell(asked, scene, script, folder),
    }


def make_scene(folder: Path) -> Scene:
    """P-256 but for the log: what all verifiers can judge."""
    return Scene(folder, ca="p384", ct="p256", log="ed25519", tsa="p256", leaf="p256")


def write() -> int:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        script = folder / "verify.sh"
        script.write_bytes(standalone.read_verify_sh())
        (folder / "scene").mkdir()
        scene, shelf = make_scene(folder / "scene"), packs.Shelf(folder / "shelf")
        tables: dict[str, dict[str, Row]] = {"pack": {}, "bundle": {}}
        for number, case in enumerate(packs.cases()):
            place = folder / f"p{number}"
            place.mkdir()
            tables["pack"][case.id] = pack_row(case, shelf, script, place)
        for number, (name, make) in enumerate(bundles.cases()):
            place = folder / f"b{number}"
            place.mkdir()
            tables["bundle"][name] = bundle_row(make, scene, script, place)
    lines = [HEAD]
    for table, rows in tables.items():
        lines.append(f"[{table}]")
        for name, row in rows.items():
            inner = ", ".join(f"{verifier} = {json.dumps(verdict)}" for verifier, verdict in row.items())
            lines.append(f"{json.dumps(name)} = {{ {inner} }}")
        lines.append("")
    FILE.write_text("\n".join(lines))
    return 0
