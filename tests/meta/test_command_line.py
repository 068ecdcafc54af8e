"""What holds for every command: help with an example, --json, quick start, and the audit rule."""

import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.cli.command import DECLARED, ROLES
from appliance.cli.main import NOUNS, run

HEAVY = (
    "numpy", "pyarrow", "polars", "duckdb", "pyiceberg", "sklearn", "scipy", "numba", "torch", "bentoml", "sigstore",
    "cryptography", "starlette", "uvicorn", "aiohttp", "onnxruntime", "prometheus_client", "fastavro", "pandas",
)  # fmt: skip

for each in NOUNS:
    importlib.import_module(f"appliance.cli.{each}")
COMMANDS = sorted(DECLARED)
CHANGING = sorted(name for name, declared in DECLARED.items() if declared.changes and declared.needs_site)


def test_every_noun_has_a_command():
    assert {name.split()[0] for name in COMMANDS} >= set(NOUNS) - {"verify", "predict", "reproduce"}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_a_sentence_and_a_runnable_example(name):
    declared = DECLARED[name]
    assert declared.command.help, name
    assert declared.command.help.splitlines()[0].endswith("."), name
    assert declared.example.startswith("appliance "), name
    words = declared.example.split()
    assert name.split()[0] in words
    assert {option.opts[0] for option in declared.command.params if option.param_type_name == "option"} >= {
        "--json",
        "--as",
        "--site",
    }


def test_help_loads_no_heavy_library():
    script = (
        "import sys\nfrom appliance.cli.main import run\nrun(['--help'])\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    for noun in NOUNS:
        assert f"  {noun} " in done.stdout


def test_starts_in_at_most_four_times_the_time_of_importing_click():
    """Median of nine, both in the same minute on the same machine."""

    def median_s(code):
        times = []
        for _ in range(9):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
            times.append(time.perf_counter() - started)
        return statistics.median(times)

    ours = median_s("from appliance.cli.main import run; run(['--help'])")
    click = median_s("import click")
    assert ours <= 4 * click, f"help took {ours:.3f} s, importing click {click:.3f} s"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audited") / "site"
    assert run(["site", "init", "--site", str(folder)]) == 0
    assert run(["trust", "enroll", "builder/ci", "--site", str(folder)]) == 0
    return folder


def tree(folder: Path):
    """Every file below with its content, logs left out."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] != "logs"
    }


def arguments_of(declared):
    """Something for every required argument and option."""
    words = []
    for parameter in declared.command.params:
        if not parameter.required:
            continue
        choices = getattr(parameter.type, "choices", None)
        value = choices[0] if choices else "1"
        words += [value] if parameter.param_type_name == "argument" else [parameter.opts[0], value]
    return words


@pytest.mark.parametrize("name", CHANGING)
def test_no_record_no_action(name, site, capsys, monkeypatch):
    """With a log that cannot be written, a command that changes something is refused and changes nothing."""
    declared = DECLARED[name]
    before = tree(site)
    real = os.open

    def refuse(path, flags, *args, **kwargs):
        if "trust/log" in str(path) and flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(30, "Read-only file system", str(path))
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    actor = declared.roles[0] if declared.roles[0] in ROLES else f"{declared.roles[0]}/ci"
    words = [*name.split(), *arguments_of(declared), "--site", str(site), "--as", actor, "--json"]
    assert run(words) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "APL-AUDIT-001"
    monkeypatch.undo()
    assert tree(site) == before


@pytest.mark.parametrize("name", CHANGING)
def test_a_role_that_may_not_is_refused_without_a_change(name, site, capsys):
    declared = DECLARED[name]
    others = [role for role in ("auditor", "operator", "approver", "data-scientist") if role not in declared.roles]
    assert others, "a command that everybody may run is not bound to a role"
    before = tree(site)
    words = [*name.split(), *arguments_of(declared), "--site", str(site), "--as", others[0], "--json"]
    assert run(words) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "APL-CLI-001"
    assert tree(site) == before
