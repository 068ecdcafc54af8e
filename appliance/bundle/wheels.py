"""The wheels of a bundle: for each environment's pip lock the files that fit the site's Python.

Rules
1. pip chooses, for a fixed target: CPython 3.11 on Debian 12, x86-64. The build machine's own Python does not matter.
2. Wheels only, each with a digest that the environment's lock allows, nothing beyond the lock (``--no-deps``).
3. The index, its certificate and its credentials are those of this machine's pip.
4. The licence is the wheel's own word: its licence expression, else a licence of one line, else its classifiers.
"""

from __future__ import annotations

import email.parser
import re
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.base import atomic, process
from appliance.base.digest import digest_file
from appliance.base.errors import ApplianceError, Code
from appliance.bundle import codes
from appliance.bundle.lock import Input
from appliance.bundle.store import Store

TIMEOUT_S = 3600.0
_GLIBC_MINOR = 36  # Debian 12 has glibc 2.36
_PLATFORMS = (
    *(f"manylinux_2_{minor}_x86_64" for minor in range(_GLIBC_MINOR, 4, -1)),
    *("manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"),
)
TARGET = (
    *("--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"),
    *(word for platform in _PLATFORMS for word in ("--platform", platform)),
)
_PIN = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==(?P<version>[A-Za-z0-9.!+_-]+)")
_HASH = re.compile(r"--hash=(sha256:[0-9a-f]{64})")
_LONGEST_LICENCE = 120  # characters; longer ones are the whole text


@dataclass(frozen=True, kw_only=True)
class Pin:
    """One distribution of an environment. `digests`: of all its files, any of which may come."""

    name: str
    version: str
    digests: frozenset[str]

    @property
    def requirement(self) -> str:
        return " ".join([f"{self.name}=={self.version}", *(f"--hash={each}" for each in sorted(self.digests))])


def parse_pins(text: str, *, where: str) -> list[Pin]:
    """The pins of ``offline_wheels/<name>.lock``.

    Raises:
        ApplianceError: APL-BUNDLE-001, a line is not ``name==version`` with hashes.
    """
    pins = []
    for line in text.replace("\\\n", " ").splitlines():
        words = line.split()
        if not words:
            continue
        pin, hashes = _PIN.fullmatch(words[0]), [_HASH.fullmatch(word) for word in words[1:]]
        if pin is None or not hashes or None in hashes:
            message = f"expected name==version and --hash=sha256:..., got {line[:120]!r}"
            raise ApplianceError(codes.DECLARATION_INVALID, message, where=where)
        pins.append(
            Pin(name=pin["name"], version=pin["version"], digests=frozenset(each[1] for each in hashes if each))
        )
    return pins


def fetch(pip: Path, pins: Sequence[Pin], store: Store) -> dict[Pin, tuple[str, str]]:
    """Bring the wheel of each pin into the store; gives name and digest of the file for each that came.

    Each call works in a folder of its own, so that several may run at once.

    Raises:
        ApplianceError: as `download`; APL-BASE-002.
    """
    folder = store.incoming("wheels") / f"{pins[0].name}-{pins[0].version}"
    folder.mkdir(exist_ok=True)
    download(pip, pins, folder)
    found = arrived(folder, pins)
    for file, digest in found.values():
        store.put(file, digest)
    atomic.remove_tree(folder)
    return {pin: (file.name, digest) for pin, (file, digest) in found.items()}


def download(pip: Path, pins: Iterable[Pin], folder: Path) -> None:
    """Fetch the wheel of each pin into `folder`; what is there with the right digest is kept.

    Raises:
        ApplianceError: APL-BUNDLE-003 no file of it fits or is offered, -004 another digest, -005 no answer,
            -016 the disk is full. Only whole and checked files are in `folder`.
    """
    wanted = list(pins)
    requirements = folder / "requirements.txt"
    requirements.write_text("".join(f"{each.requirement}\n" for each in wanted))
    try:
        # With retries, because pip tells only of them that an index gave no answer.
        quiet = ("--quiet", "--disable-pip-version-check", "--no-input", "--retries", "3")
        strict = ("--require-hashes", "--no-deps", "--only-binary", ":all:")
        places = ("--requirement", str(requirements), "--dest", str(folder))
        done = process.run(
            [str(pip), "download", *quiet, *strict, *TARGET, *places],
            timeout_s=TIMEOUT_S,
            extra_environment={"LC_ALL": "C.UTF-8"},
            check=False,
            tied=True,
        )
    finally:
        requirements.unlink()
    if done.returncode != 0:
        words = (done.stdout + done.stderr).decode("utf-8", "replace").strip()
        names = ", ".join(f"{each.name} {each.version}" for each in wanted)
        raise ApplianceError(code_of(words), words[-process.TAIL_CHARACTERS :], where=names[:200])


def code_of(words: str) -> Code:
    """What a failed pip tells in its own words."""
    if "DO NOT MATCH THE HASHES" in words:
        return codes.DIGEST_DIFFERS
    if "No space left on device" in words:
        return codes.NO_SPACE
    # An unanswered index is told as one that has nothing, after warnings of the attempts.
    if "Retrying (Retry(" in words or "Max retries exceeded" in words or "connection error" in words.lower():
        return codes.SOURCE_UNREACHABLE
    return codes.NOT_OFFERED


def arrived(folder: Path, pins: Iterable[Pin]) -> dict[Pin, tuple[Path, str]]:
    """File and digest for each pin that has one in `folder`."""
    files = {digest_file(path): path for path in sorted(folder.glob("*.whl"))}
    found = {}
    for pin in pins:
        for digest in sorted(pin.digests & files.keys()):
            found[pin] = (files[digest], digest)
    return found


def describe(wheel: Path, pin: Pin, *, file_name: str, digest: str, why: Sequence[str]) -> Input:
    """The input for the file `wheel`, which is called `file_name` in the bundle."""
    return Input(
        kind="wheel",
        name=pin.name,
        version=pin.version,
        path=f"wheels/{file_name}",
        size_bytes=wheel.stat().st_size,
        digest=digest,
        licence=licence(read_metadata(wheel)),
        origin="PyPI",
        wanted_by=sorted(why),
    )


def read_metadata(wheel: Path) -> str:
    """The ``METADATA`` of a wheel.

    Raises:
        ApplianceError: APL-BUNDLE-004, it is no wheel.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            names = [each for each in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", each)]
            return archive.read(names[0]).decode("utf-8", "replace")
    except (OSError, zipfile.BadZipFile, IndexError, KeyError) as error:
        raise ApplianceError(codes.DIGEST_DIFFERS, f"it is no wheel: {error}", where=str(wheel)) from error


def licence(metadata: str) -> str:
    """Empty when the wheel says nothing."""
    headers = email.parser.HeaderParser().parsestr(metadata)
    for key in ("License-Expression", "License"):
        words = str(headers.get(key, "")).strip()
        if words and words.upper() != "UNKNOWN" and "\n" not in words and len(words) <= _LONGEST_LICENCE:
            return words
    classifiers = [str(each) for each in headers.get_all("Classifier", [])]
    return "; ".join(each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License :: "))
