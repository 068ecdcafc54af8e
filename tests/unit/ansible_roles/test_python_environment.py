"""The installer comes out of the bundle, and is told to ask nobody and to leave no trace of the draft."""

import io
import zipfile
from pathlib import Path

import pytest
from ansible.module_utils import verified_bundle
from ansible.module_utils.draft import Draft

from tests.unit.ansible_roles.a_bundle import make_bundle, wheel


def _uv(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr(name, b"the program")
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["uv-1.0.data/scripts/uv", "uv/other"])
def test_uv_comes_out_of_its_wheel(plugin, tmp_path, name):
    data = _uv(name)
    told = make_bundle(tmp_path / "bundle", {"wheels/uv-1.0.whl": data}, inputs=[wheel("uv", data, "uv")])
    bundle = verified_bundle.load(tmp_path / "bundle", told)
    unpack = plugin("modules", "python_environment").unpack_uv
    if "scripts" not in name:
        with pytest.raises(verified_bundle.BundleError, match=r"there is no uv-1.0.data/scripts/uv in it"):
            unpack(bundle, tmp_path)
        return
    program = unpack(bundle, tmp_path)
    assert (program.read_bytes(), oct(program.stat().st_mode & 0o777)) == (b"the program", "0o700")


def test_the_commands(plugin):
    work = Path("/r/.one.draft")
    making, installing, compiling = plugin("modules", "python_environment").commands(
        Path("/uv"),
        python="/usr/bin/python3",
        draft=Draft(made=work / "made", scratch=work / "scratch"),
        path=Path("/r/one"),
        wheels=Path("/b/wheels"),
    )
    assert making[-4:] == ["--relocatable", "--python", "/usr/bin/python3", "/r/.one.draft/made"]
    assert {"--offline", "--no-index", "--no-deps", "--require-hashes"} <= set(installing)
    assert compiling[-5:] == ["-s", "/r/.one.draft/made", "-p", "/r/one", "/r/.one.draft/made/lib"]


def test_nothing_in_it_tells_when_it_was_made(plugin, tmp_path):
    info = tmp_path / "lib/python3.11/site-packages/one-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "uv_cache.json").write_text('{"timestamp": 1}')
    (info / "RECORD").write_text("one.py,sha256=x,1\none-1.0.dist-info/uv_cache.json,sha256=y,2\n")
    plugin("modules", "python_environment").forget_when(tmp_path)
    assert [each.name for each in info.iterdir()] == ["RECORD"]
    assert (info / "RECORD").read_text() == "one.py,sha256=x,1\n"
