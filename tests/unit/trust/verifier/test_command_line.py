"""Exit codes, output and state of the command line; and that its three builds are one program."""

from __future__ import annotations

import ast
import base64
import json
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from appliance.trust import standalone
from appliance.trust.verifier.__main__ import main
from tests.unit.trust.verifier.conftest import Made
from tests.unit.trust.verifier.pack_maker import bundle_paths

PACKAGE = Path(standalone.__file__).parent / "verifier"


def test_verified(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pack", "--root-digest", made.root_digest, str(made.folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert (lines[0], lines[-1]) == ("ok pack", "VERIFIED")
    assert any(line.startswith("not established: rollback and fork") for line in lines)


def test_refused_names_the_step(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack = made.copy(tmp_path / "pack")
    (pack / "artifacts/other").write_bytes(b"other")
    assert main(["pack", "--root-digest", made.root_digest, str(pack)]) == 3
    assert capsys.readouterr().out.splitlines()[-1] == "REFUSED subject: no statement is about artifacts/other"
    assert main(["pack", "--json", "--root-digest", made.root_digest, str(pack)]) == 3
    document = json.loads(capsys.readouterr().out)
    assert list(document) == ["verified", "step", "detail", "checked", "established", "not_established"]
    assert (document["verified"], document["step"]) == (False, "subject")


def test_what_others_wrote_cannot_forge_output(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pack = made.copy(tmp_path / "pack")
    bundle = bundle_paths(pack)[0]
    text = bundle.read_text().replace('"application/vnd.dev.sigstore', '"\\nVERIFIED\\n\\u001b[2J\\ud800', 1)
    bundle.write_text(text)
    assert main(["pack", "--root-digest", made.root_digest, str(pack)]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("REFUSED format")
    assert "VERIFIED" not in lines
    assert all(line.isascii() and line.isprintable() for line in lines)


def test_one_bundle(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "artifact").write_bytes(b'{"name":"m"}')
    model = next(path for path in bundle_paths(made.folder) if _is_model(path))
    arguments = [
        "bundle",
        "--trusted-root",
        str(made.folder / "trust-config.json"),
        "--issuer",
        made.site.enclave.issuer,
    ]
    arguments += ["--tlog-policy", str(made.folder / "tlog-policy"), "--identity"]
    identity = made.site.enclave.identity("data-scientist")
    # The bundle's own checkpoint is older than the witnessed one.
    assert main([*arguments, identity, str(model), str(tmp_path / "artifact")]) == 3
    assert "REFUSED witness" in capsys.readouterr().out
    del arguments[5:7]
    assert main([*arguments, identity, str(model), str(tmp_path / "artifact")]) == 0
    assert main([*arguments, identity + "x", str(model), str(tmp_path / "artifact")]) == 3


def _is_model(path: Path) -> bool:
    return b"model/v1" in base64.b64decode(json.loads(path.read_bytes())["dsseEnvelope"]["payload"])


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["pack"],
        ["pack", "--root-digest", "x", "."],
        ["pack", "--root-digest", "sha256:" + "0" * 64, "/nowhere"],
        ["pack", "--root-digest", "sha256:" + "0" * 64, "--bundle", "x", "."],
        ["pack", "--root-digest", "sha256:" + "0" * 64, "--not-older-than", "yesterday", "."],
        ["bundle", "--trusted-root", "/nowhere", "--identity", "x", "--issuer", "y", "b", "a"],
    ],
)
def test_wrong_use(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2


def test_the_state_is_written_after_success_only(made: Made, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    arguments = ["pack", "--root-digest", made.root_digest, "--state", str(state)]
    bad = made.copy(tmp_path / "bad")
    (bad / "artifacts/other").write_bytes(b"other")
    assert main([*arguments, str(bad)]) == 3
    assert not state.exists()
    assert main([*arguments, str(made.folder)]) == 0
    written = json.loads(state.read_bytes())
    assert written["size"] == made.site.log.size()
    assert sorted(os.listdir(tmp_path)) == ["bad", "state.json"]
    assert main([*arguments, str(made.folder)]) == 0
    state.write_text(json.dumps({**written, "size": written["size"] + 1}))
    assert main([*arguments, str(made.folder)]) == 3
    state.write_text("{}")
    with pytest.raises(SystemExit) as caught:
        main([*arguments, str(made.folder)])
    assert caught.value.code == 2


def test_builds_are_one_program(made: Made, tmp_path: Path) -> None:
    builds = {"verify.py": standalone.build_verify_py(), "verify.pyz": standalone.build_pyz()}
    assert builds == {"verify.py": standalone.build_verify_py(), "verify.pyz": standalone.build_pyz()}
    packed, outputs = tmp_path / "pack.tar", set()
    with tarfile.open(packed, "w") as archive:
        for path in sorted(made.folder.iterdir()):
            archive.add(path, path.name)
    for name, data in builds.items():
        (tmp_path / name).write_bytes(data)
        command = [sys.executable, "-I", "-W", "error", str(tmp_path / name), "pack", "--root-digest", made.root_digest]
        for pack in (made.folder, packed):
            done = subprocess.run([*command, str(pack)], capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, "")
            outputs.add(done.stdout)
    assert len(outputs) == 1
    assert b"import appliance" not in builds["verify.py"]
    assert b"from appliance" not in builds["verify.py"]
    assert b"from ." not in builds["verify.py"]


def test_it_starts_quickly(tmp_path: Path) -> None:
    """Imports and reads the command line in half a second of processor time."""
    (tmp_path / "verify.py").write_bytes(standalone.build_verify_py())
    command = [sys.executable, "-I", "-c", "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
               "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime)"]  # fmt: skip
    command += [sys.executable, "-I", str(tmp_path / "verify.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout.splitlines()[-1]) < 0.5


def test_it_stands_alone() -> None:
    """The standard library, cryptography, and its own modules."""
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                assert node.level < 2, path.name
                names += [] if node.level else [str(node.module)]
            for name in names:
                assert name.partition(".")[0] in {"cryptography", *sys.stdlib_module_names}, (path.name, name)


def test_a_name_stands_at_the_top_of_one_module() -> None:
    """They share one namespace in verify.py, where a second one would silently take the place of the first."""
    found: dict[str, str] = {}
    for path in PACKAGE.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            names = [each.id for target in targets if target for each in ast.walk(target) if isinstance(each, ast.Name)]
            names += [node.name] if isinstance(node, ast.FunctionDef | ast.ClassDef) else []
            for name in names:
                assert found.setdefault(name, path.name) == path.name, name


def test_the_verifier_knows_no_clock() -> None:
    for path in PACKAGE.glob("*.py"):
        source = path.read_text()
        assert not re.search(r"\b(now|utcnow|today)\(|\btime\.(time|monotonic)|import time\b", source), path.name


def test_verify_sh_is_shipped() -> None:
    assert standalone.read_verify_sh().startswith(b"#!/bin/bash\n")
