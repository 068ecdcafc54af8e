"""A site with an airlock: its people are enrolled, and its scanner knows one string."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from appliance.cli.main import run
from appliance.trust import custody
from tests.bundles import FILES

# The test string of the European Institute for Computer Antivirus Research, in two halves: no scanner is to trip on
# this file.
EICAR = (r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STAND" + "ARD-ANTIVIRUS-TEST-FILE!$H+H*").encode()
INFECTED = {**FILES, "servers/minio/notes.bin": (b"some bytes before\n" + EICAR + b"\n", False, "servers")}
SCANNER = """#!/bin/sh
# Looks for the test string in every file below the last argument; its words are in two halves here as well.
for folder; do :; done
found=$(grep -rlF 'EICAR-STAND''ARD-ANTIVIRUS-TEST-FILE' "$folder")
[ -z "$found" ] || { echo "$found: Eicar-Test-Signature FOUND"; exit 1; }
echo "$(find "$folder" -type f | wc -l) files are clean"
"""
PEOPLE = ("approver/alice", "approver/bob")


def write_scanner(folder: Path) -> Path:
    path = folder / "scanner"
    path.write_text(SCANNER)
    path.chmod(0o755)
    return path


def make_airlock_site(folder: Path) -> Path:
    """The new site `folder`; its scanner lies beside it."""
    scanner = write_scanner(folder.parent)
    assert run(["site", "init", "--site", str(folder)]) == 0
    for person in PEOPLE:
        assert run(["trust", "enroll", person, "--site", str(folder)]) == 0
    with (folder / "site.toml").open("a") as file:
        file.write(f'\n[airlock]\nscanner = "{scanner}"\n')
    return folder


def root_of(site: Path) -> str:
    return custody.root_digest(site / "trust")


def asker(site: Path, read: Callable[[], str]) -> Callable[..., tuple[int, dict]]:
    """Calls ``appliance bundle ...`` on the site; `read` gives what was printed. Gives exit code and JSON."""

    def ask(*words: object) -> tuple[int, dict]:
        read()
        code = run(["bundle", *map(str, words), "--site", str(site), "--json"])
        return code, json.loads(read())

    return ask
