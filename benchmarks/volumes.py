"""Volumes of plain files against one packed file: `appliance.bundle.volumes.split` and ``tar | gzip -6``, by the clock.

    python benchmarks/volumes.py [--json] [--small]

Both take the same folder from the page cache, in turn, least of the rounds, and both times end when the bytes are on
the disk. The folder is what of a bundle is not packed already: built programs of ``.servers``, and where those are too
few the shared objects of this environment. Volumes are plain, so they are larger; the sizes are told beside the times,
and `docs/adr/0025-volumes-are-plain.md` says why that is meant. Split hashes every byte as well, which gzip does not.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from appliance.base.digest import digest_bytes, digest_file
from appliance.base.progress import NoProgress
from appliance.bundle import manifest, volumes
from appliance.bundle.manifest import Manifest, Member
from benchmarks import outcome

GOAL, SMALL_GOAL = 8.0, 4.8
ROUNDS = 3
ROOT = Path(__file__).parents[1]
LEAST_BYTES = 1 << 20  # of a file that is taken: programs, not their scripts
ELF = b"\x7fELF"


def main() -> int:
    options = outcome.arguments(__doc__, small="a quarter of the bytes").parse_args()
    most_bytes = (64 if options.small else 256) << 20
    with tempfile.TemporaryDirectory(prefix="volumes-") as name:
        bundle, packed, out = Path(name, "bundle"), Path(name, "bundle.tar.gz"), Path(name, "volumes")
        size = make_bundle(bundle, most_bytes)

        def pack() -> None:
            with packed.open("wb") as target:
                tar = subprocess.Popen(["tar", "--create", "--directory", bundle, "."], stdout=subprocess.PIPE)
                subprocess.run(["gzip", "-6"], stdin=tar.stdout, stdout=target, check=True)
                assert tar.wait() == 0
            os.sync()

        def split() -> None:
            volumes.split(bundle, out, size // 3, NoProgress())

        ways: dict[str, Callable[[], None]] = {"tar | gzip -6": pack, "split": split}
        spent, sizes = dict.fromkeys(ways, math.inf), dict.fromkeys(ways, 0)
        for _ in range(ROUNDS):
            for way, work in ways.items():
                packed.unlink(missing_ok=True)
                shutil.rmtree(out, ignore_errors=True)
                os.sync()  # what others left to be written is nobody's time
                started = time.perf_counter()
                work()
                spent[way] = min(spent[way], time.perf_counter() - started)
                made = [packed] if work is pack else [each for each in out.rglob("*") if each.is_file()]
                sizes[way] = sum(each.stat().st_size for each in made)
    rate = {way: size / 1e6 / seconds for way, seconds in spent.items()}
    return outcome.answer(
        "volumes",
        peer=rate["tar | gzip -6"],
        ours=rate["split"],
        unit="MB per second",
        ratio=rate["split"] / rate["tar | gzip -6"],
        goal=SMALL_GOAL if options.small else GOAL,
        table=(
            *(
                f"{way:14}{rate[way]:9.1f} MB per second, {sizes[way] / size:.3f} of {size / 1e6:.0f} MB"
                for way in ways
            ),
            f"size: volumes are {sizes['split'] / sizes['tar | gzip -6']:.2f} times as large",
        ),
        as_json=options.json,
    )


def make_bundle(folder: Path, most_bytes: int) -> int:
    """Programs below ``servers/`` and the manifest of them, not signed; gives the bytes of the programs."""
    members: list[Member] = []
    for source in programs():
        left = most_bytes - sum(each.size_bytes for each in members)
        if left < LEAST_BYTES:
            break
        path = f"servers/{len(members):04}/program"
        (folder / path).parent.mkdir(parents=True)
        with source.open("rb") as file:
            (folder / path).write_bytes(file.read(left))
        made = folder / path
        members.append(
            Member(path=path, size_bytes=made.stat().st_size, digest=digest_file(made), executable=True, part="servers")
        )
    assert members, "no program was found"
    whole = Manifest(
        format="appliance-bundle/1", bundle="bench", version="1.0.0", made_at="2026-01-01T00:00:00Z",
        architecture="amd64", lock=digest_bytes(b""), source=digest_bytes(b""), members=members,
    )  # fmt: skip
    (folder / manifest.NAME).write_bytes(manifest.render(whole))
    return sum(each.size_bytes for each in members)


def programs() -> Iterator[Path]:
    """Machine code of others, in order of path; that of servers first."""
    for top in (ROOT / ".servers", Path(sys.prefix)):
        for folder, _, names in sorted(os.walk(top.resolve())):
            for path in sorted(Path(folder, name) for name in names):
                if path.is_file() and not path.is_symlink() and path.stat().st_size >= LEAST_BYTES and is_code(path):
                    yield path


def is_code(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(ELF)) == ELF


if __name__ == "__main__":
    sys.exit(main())
