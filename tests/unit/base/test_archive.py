"""Deterministic archives, and hostile ones refused before a byte is written."""

import io
import os
import tarfile

import pytest

from appliance.base.archive import pack, unpack
from appliance.base.errors import ApplianceError


def test_same_files_same_bytes_whatever_order_and_time(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"data")
    pack(tmp_path / "1.tar", {"b": b"2", "a/x": source})
    os.utime(source, (1, 1))
    pack(tmp_path / "2.tar", {"a/x": source, "b": b"2"})
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()


def test_what_was_packed_comes_out(tmp_path):
    members = {"a/b.txt": b"hello", "long/" + "n" * 150: b"\0" * 3000, "empty": b""}
    pack(tmp_path / "x.tar", members)
    assert unpack(tmp_path / "x.tar", tmp_path / "out", max_bytes=10_000) == tuple(sorted(members))
    assert {name: (tmp_path / "out" / name).read_bytes() for name in members} == members


def _member(name, kind=tarfile.REGTYPE, size=0, link=""):
    entry = tarfile.TarInfo(name)
    entry.type, entry.size, entry.linkname = kind, size, link
    return entry


HOSTILE = {
    "absolute path": ([_member("/etc/x")], "absolute"),
    "leaves the folder": ([_member("a/../../x")], "leaves the folder"),
    "unnormal path": ([_member("a//x")], "unnormal"),
    "symbolic link": ([_member("x", tarfile.SYMTYPE, link="/etc/passwd")], "not a regular file"),
    "hard link": ([_member("x", tarfile.LNKTYPE, link="y")], "not a regular file"),
    "device": ([_member("x", tarfile.CHRTYPE)], "not a regular file"),
    "twice": ([_member("x"), _member("x")], "twice"),
    "too large": ([_member("x", size=2000)], "at most 1000"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_refuses(name, tmp_path):
    entries, message = HOSTILE[name]
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for entry in entries:
            tar.addfile(entry, io.BytesIO(b"\0" * entry.size))
    with pytest.raises(ApplianceError, match=message) as caught:
        unpack(tmp_path / "x.tar", tmp_path / "out", max_bytes=1000)
    assert caught.value.code.id == "APL-BASE-005"
    assert not (tmp_path / "out").exists()


def test_refuses_what_is_not_an_archive(tmp_path):
    (tmp_path / "x.tar").write_bytes(b"not a tar" * 100)
    with pytest.raises(ApplianceError, match="APL-BASE-005"):
        unpack(tmp_path / "x.tar", tmp_path / "out", max_bytes=1000)
