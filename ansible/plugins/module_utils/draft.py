"""A folder that is there as a whole or not at all: made under another name beside its place, then renamed.

Rules
1. What a folder was made from stands in its file `STAMP`, which is written last. A folder with another stamp, or none,
   is made anew.
2. What a killed run left is removed by the next one. Two runs at once are the caller's to prevent.
3. Everything is on the disk before the name is: a power cut leaves the folder whole or absent.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

STAMP = ".complete"


def is_made_from(folder: Path, facts: Mapping[str, object]) -> bool:
    try:
        return (folder / STAMP).read_text(encoding="utf-8") == _render(facts)
    except OSError:
        return False


@dataclass(frozen=True)
class Draft:
    """`made` becomes the folder; nothing is there yet. `scratch` is there, on the same filesystem, and is removed."""

    made: Path
    scratch: Path


@contextmanager
def drafted(folder: Path, facts: Mapping[str, object]) -> Iterator[Draft]:
    os.umask(0o022)  # users of services read what root makes, whatever the umask of who logged in
    work = folder.with_name(f".{folder.name}.draft")
    draft = Draft(made=work / "made", scratch=work / "scratch")
    if work.exists():
        shutil.rmtree(work)
    draft.scratch.mkdir(parents=True)
    try:
        yield draft
        (draft.made / STAMP).write_text(_render(facts), encoding="utf-8")
        os.sync()
        if folder.exists():
            folder.rename(work / "former")
        draft.made.rename(folder)
        os.sync()
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _render(facts: Mapping[str, object]) -> str:
    return json.dumps(facts, indent=1, sort_keys=True) + "\n"
