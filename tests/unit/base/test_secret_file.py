"""A secret is one line in a file of mode 0600; errors name the file and never what is in it."""

import pytest

from appliance.base.errors import ApplianceError
from appliance.base.secret_file import read_secret
from appliance.ingestion.connectors import codes


def write(path, data, mode=0o600):
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("data", [b"t0ken", b"t0ken\n", b"t0ken\r\n"])
def test_one_line_is_the_secret(tmp_path, data):
    assert read_secret(write(tmp_path / "s", data), code=codes.SECRET_UNUSABLE) == "t0ken"


REFUSED = [
    ("empty", b"", 0o600, "one line"),
    ("two lines", b"hidden\nhidden\n", 0o600, "one line"),
    ("a header smuggled in", b"hidden\r\nX: y", 0o600, "one line"),
    ("white space around it", b" hidden", 0o600, "white space"),
    ("not ASCII", "hiddén".encode(), 0o600, "one line"),
    ("too long", b"hidden" * 4000, 0o600, "one line"),
    ("others may read it", b"hidden", 0o640, "expected mode 600, got 640"),
]


@pytest.mark.parametrize(("data", "mode", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_anything_else_is_refused(tmp_path, data, mode, message):
    with pytest.raises(ApplianceError, match=message) as caught:
        read_secret(write(tmp_path / "s", data, mode), code=codes.SECRET_UNUSABLE)
    assert caught.value.code.id == "APL-CONN-006"
    assert "hidd" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ApplianceError, match="No such file") as caught:
        read_secret(tmp_path / "s", code=codes.SECRET_UNUSABLE)
    assert caught.value.where == str(tmp_path / "s")
