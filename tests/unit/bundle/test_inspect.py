"""What a bundle says of itself: sizes, licences, why a file is there, what another one brings, where two differ."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from appliance.base.digest import digest_bytes
from appliance.base.errors import ApplianceError
from appliance.bundle import codes, inspect, lock
from appliance.bundle.inspect import Contents
from appliance.bundle.lock import Input, Kind
from appliance.bundle.manifest import Member, Part
from appliance.bundle.reproduce import Differs, compare, first_difference
from tests.bundles import FILES, write


def given(
    kind: Kind, name: str, version: str, path: str, wanted_by: list[str], licence: str = "MIT", data: bytes = b"x"
) -> Input:
    return Input(
        kind=kind, name=name, version=version, path=path, size_bytes=len(data), digest=digest_bytes(data),
        licence=licence, origin="Debian bookworm main" if kind == "deb" else "PyPI", wanted_by=wanted_by,
    )  # fmt: skip


INPUTS = (
    given("deb", "libpq5", "15.1", "apt/pool/libpq5.deb", ["deb:postgresql-15"]),
    given("deb", "postgresql", "15+2", "apt/pool/postgresql.deb", ["server:postgresql"]),
    given("deb", "postgresql-15", "15.1", "apt/pool/postgresql-15.deb", ["deb:libloop", "deb:postgresql"]),
    given("deb", "libloop", "1", "apt/pool/libloop.deb", ["deb:postgresql-15"], licence="GPL-2.0-only"),
    given("wheel", "click", "8.1", "wheels/click.whl", ["environment:airflow", "environment:runtime"], licence=""),
)


def contents(tmp_path: Path, *inputs: Input, version: str = "1.0.0") -> Contents:
    made = write(tmp_path / version, version=version)
    part: dict[str, Part] = {"deb": "apt", "wheel": "wheels"}
    more = [
        Member(path=each.path, size_bytes=each.size_bytes, digest=each.digest, executable=False, part=part[each.kind])
        for each in inputs
    ]
    made = msgspec.structs.replace(made, members=sorted([*made.members, *more], key=lambda each: each.path))
    locked = lock.Lock(
        format="appliance-bundle-lock/1", bundle="demo", made_at="2026-03-01T10:00:00Z", architecture="amd64", base=[],
        inputs=sorted(inputs, key=lambda each: each.path),
    )  # fmt: skip
    return Contents(manifest=made, lock=lock.parse(lock.render(locked), where="here"))


@pytest.mark.parametrize(
    ("path", "chain"),
    [
        ("apt/pool/libpq5.deb",
         ["deb libpq5 15.1 from Debian bookworm main", "wanted by deb postgresql-15 15.1",
          "wanted by deb postgresql 15+2", "wanted by server:postgresql"]),
        ("apt/pool/libloop.deb",
         ["deb libloop 1 from Debian bookworm main", "wanted by deb postgresql-15 15.1",
          "wanted by deb postgresql 15+2", "wanted by server:postgresql"]),
        ("wheels/click.whl", ["wheel click 8.1 from PyPI", "wanted by environment:airflow"]),
        ("docs/index.html", ["the documentation, made from our repository"]),
    ],
)  # fmt: skip
def test_why(tmp_path: Path, path: str, chain: list[str]) -> None:
    assert inspect.why(contents(tmp_path, *INPUTS), path) == [path, *chain]


def test_why_not(tmp_path: Path) -> None:
    with pytest.raises(ApplianceError) as caught:
        inspect.why(contents(tmp_path, *INPUTS), "docs/none.html")
    assert caught.value.code is codes.NO_MEMBER


def test_licences_and_parts(tmp_path: Path) -> None:
    found = contents(tmp_path, *INPUTS)
    assert {name: len(some) for name, some in inspect.licences(found).items()} == {
        "MIT": 3, "GPL-2.0-only": 1, "not stated": 1,
    }  # fmt: skip
    parts = inspect.parts(found)
    assert next(iter(parts)) == max(parts, key=lambda part: parts[part][1])
    assert sum(size for _, size in parts.values()) == found.manifest.size_bytes
    assert parts["wheels"][0] == 2


def test_own_files(tmp_path: Path) -> None:
    before, now = contents(tmp_path, *INPUTS), contents(tmp_path, *INPUTS[1:], version="1.1.0")
    assert inspect.own_files(before, now) == [("START-HERE.txt", "changed")]
    assert inspect.own_files(before, before) == []


class TestReproduce:
    @pytest.mark.parametrize(
        ("one", "other", "offset"),
        [(b"", b"", -1), (b"abc", b"abc", -1), (b"abc", b"abx", 2), (b"abc", b"ab", 2), (b"", b"x", 0),
         (bytes(3 << 20), bytes(2 << 20) + b"x" + bytes((1 << 20) - 1), 2 << 20)],
    )  # fmt: skip
    def test_the_first_byte(self, tmp_path: Path, one: bytes, other: bytes, offset: int) -> None:
        (tmp_path / "one").write_bytes(one)
        (tmp_path / "other").write_bytes(other)
        assert first_difference(tmp_path / "one", tmp_path / "other") == offset

    def test_the_same(self, tmp_path: Path) -> None:
        one, other = write(tmp_path / "one"), write(tmp_path / "other")
        assert compare(tmp_path / "one", one, tmp_path / "other", other) == ()

    def test_members_and_bytes_are_named(self, tmp_path: Path) -> None:
        one = write(tmp_path / "one")
        files = {
            **FILES,
            "docs/index.html": (b"<!doctype htmk>\n", False, "docs"),
            "servers/minio/minio": (FILES["servers/minio/minio"][0], False, "servers"),
            "docs/more.html": (b"", False, "docs"),
        }
        del files["models/empty.bin"]
        other = write(tmp_path / "other", files=files)
        assert compare(tmp_path / "one", one, tmp_path / "other", other) == (
            Differs(path="docs/index.html", what="differs", offset=13),
            Differs(path="docs/more.html", what="more"),
            Differs(path="models/empty.bin", what="missing"),
            Differs(path="servers/minio/minio", what="differs"),
        )
