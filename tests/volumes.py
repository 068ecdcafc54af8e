"""A bundle that does not fit on one volume, its volumes, and what may be wrong with them."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from appliance.base.progress import NoProgress
from appliance.bundle import codes, volumes
from tests.bundles import DEB, FILES, flip

MOST = 3 << 20
LARGE = "models/large.onnx"
CUT = f"{LARGE}.piece-0001"


def files(seed: int = 7) -> dict:
    """One member that is greater than a volume, and several that are not."""
    noise = random.Random(seed)
    made = {LARGE: (noise.randbytes(7_000_001), False, "models")}
    for number in range(4):
        made[f"wheels/w{number}-1-py3-none-any.whl"] = (noise.randbytes(900_000 + number), False, "wheels")
    return {**FILES, **made}


def split(bundle: Path, target: Path, most: int = MOST, **options: object) -> list[Path]:
    volumes.split(bundle, target, most, NoProgress(), **options)  # type: ignore[arg-type]
    return sorted(each for each in target.iterdir() if not each.name.startswith("."))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def with_file(volume: Path, name: str) -> Path:
    """The file of this name on whichever volume beside `volume` has it."""
    (found,) = (each / name for each in volume.parent.iterdir() if (each / name).is_file())
    return found


def edit(volume: Path, change: Callable[[dict], None]) -> None:
    """Change what volume.json says, in its form."""
    path = volume / "volume.json"
    document = json.loads(path.read_bytes())
    change(document)
    path.write_bytes(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())


def exchange(one: Path, other: Path) -> None:
    held = one.with_name("held")
    one.rename(held)
    other.rename(one)
    held.rename(other)


def linked(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


FAULTS: Mapping[str, tuple[Callable[[list[Path]], object], str, str]] = {
    "a byte of a whole file flipped": (
        lambda all_: flip(with_file(all_[0], DEB)), codes.PIECE_CHANGED.id, DEB),
    "a byte of a piece flipped": (
        lambda all_: flip(with_file(all_[0], CUT)), codes.PIECE_CHANGED.id, CUT),
    "a byte of the manifest flipped": (
        lambda all_: flip(all_[0] / "manifest.json"), codes.PIECE_CHANGED.id, "volume 1 of"),
    "a piece cut short": (
        lambda all_: os.truncate(with_file(all_[0], CUT), 10), codes.PIECE_CHANGED.id, CUT),
    "a piece that grew": (
        lambda all_: os.truncate(with_file(all_[0], CUT), 9_000_000), codes.PIECE_CHANGED.id, CUT),
    "two pieces swapped": (
        lambda all_: exchange(with_file(all_[0], CUT), with_file(all_[0], f"{LARGE}.piece-0002")),
        codes.PIECE_CHANGED.id, LARGE),
    "a file is missing": (
        lambda all_: with_file(all_[0], DEB).unlink(), codes.PIECE_MISSING.id, DEB),
    "a file that is not listed": (
        lambda all_: (all_[1] / "autorun.inf").write_bytes(b"!"), codes.PIECE_EXTRA.id, "volume 2 of"),
    "a link": (lambda all_: linked(with_file(all_[0], DEB)), codes.PIECE_EXTRA.id, DEB),
    "volume.json of two volumes exchanged": (
        lambda all_: exchange(all_[1] / "volume.json", all_[2] / "volume.json"), codes.PIECE_MISSING.id, "volume"),
    "volume.json gone": (
        lambda all_: (all_[1] / "volume.json").unlink(), codes.VOLUME_INVALID.id, "volume.json"),
    "volume.json of another form": (
        lambda all_: (all_[1] / "volume.json").write_bytes(b"{}"), codes.VOLUME_INVALID.id, "volume.json"),
    "volume.json too large": (
        lambda all_: os.truncate(all_[1] / "volume.json", 1 << 40), codes.VOLUME_INVALID.id, "volume.json"),
    "a name that leaves the folder": (
        lambda all_: edit(all_[1], lambda found: found["pieces"][0].update(path="../../etc/passwd")),
        codes.VOLUME_INVALID.id, "volume.json"),
    "a piece in another place": (
        lambda all_: edit(with_file(all_[0], CUT).parents[1], lambda found: [
            each.update(offset=1) for each in found["pieces"] if each["name"] == CUT]),
        codes.VOLUMES_DISAGREE.id, LARGE),
    "a file under another name": (
        lambda all_: edit(all_[0], lambda found: [
            each.update(path="docs/other.html") for each in found["pieces"] if each["name"] == "docs/index.html"]),
        codes.VOLUMES_DISAGREE.id, ""),
    "a number beyond the count": (
        lambda all_: edit(all_[1], lambda found: found.update(number=99)), codes.VOLUME_INVALID.id, "volume.json"),
    "a folder twice": (
        lambda all_: all_.append(Path(shutil.copytree(all_[1], all_[0].parent / "again"))),
        codes.VOLUME_TWICE.id, "again"),
    "a volume is missing": (lambda all_: all_.pop(1), codes.VOLUMES_MISSING.id, ""),
}  # fmt: skip
"""What -> how it is done to all volumes of a set, and the code and a part of the place that the join names."""
