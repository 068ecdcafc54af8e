"""Recipes and locks of third-party servers: one valid form, and every file compared with what the lock says."""

import hashlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from appliance.base.errors import ApplianceError
from servers.builder import bench, tools
from servers.builder.recipe import digest_of, load_recipes, parse_lock, parse_recipe, render_lock

ROOT = Path(__file__).parents[3]
ZERO = "0" * 64
ONE = "1" * 64
GOOD = f"""\
name = "server"
version = "1"
kind = "wheel"
licence = "MIT"
origin = "index package server"
entry_point = "server"
provides = "server"
sha256 = "{ZERO}"

[wheel]
package = "server"
path = "server"
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('kind = "wheel"', 'kind = "image"', "expected kind to be one of go, maven, wheel, debian, got 'image'"),
        ('version = "1"\n', "", "version is missing"),
        ('version = "1"', "version = 1", "expected version to be str, got 1"),
        ('licence = "MIT"', 'licence = ""', "expected licence to be str, got ''"),
        ('licence = "MIT"', 'licence = "MIT"\nlicense = "MIT"', "license is not a key of this kind"),
        ("[wheel]", "[go]", "go is not a key of this kind"),
        ('path = "server"', "", "wheel.path is missing"),
        (ZERO, "0" * 63, "expected sha256 to be 64 hex digits"),
        ('name = "server"', 'name = "other"', "expected name to be that of the folder, 'server', got 'other'"),
    ],
)
def test_a_recipe_of_another_form_is_refused(old, new, message):
    assert old in GOOD
    with pytest.raises(ApplianceError) as caught:
        parse_recipe(GOOD.replace(old, new).encode(), Path("server"))
    assert caught.value.code.id == "APL-SERVERS-001"
    assert message in caught.value.message


def test_a_good_recipe_is_read():
    recipe = parse_recipe(GOOD.encode(), Path("server"))
    assert (recipe.name, recipe.kind, recipe.options) == ("server", "wheel", {"package": "server", "path": "server"})


@pytest.mark.parametrize(
    "text",
    ["", "\n", f"a:b {ZERO}\n", f"a:b:1 {'0' * 40}\n", f"a:b:2 {ZERO}\na:b:1 {ZERO}\n", f"a:b:1 {ZERO}\na:b:1 {ONE}\n"],
    ids=["empty", "empty line", "no version", "another digest", "not sorted", "twice"],
)
def test_a_lock_of_another_form_is_refused(text):
    with pytest.raises(ApplianceError) as caught:
        parse_lock(text, Path("lock"))
    assert caught.value.code.id == "APL-SERVERS-001"


def test_a_lock_is_written_in_the_form_that_is_read():
    found = {"org.a:b:1": ZERO, "org.a:b:1:all@tar.gz": ONE}
    assert parse_lock(render_lock(found), Path("lock")) == found


@pytest.mark.parametrize(
    ("path", "coordinate"),
    [
        ("org/x/name/1.0/name-1.0.jar", "org.x:name:1.0"),
        ("org/x/name/1.0/name-1.0-all.tar.gz", "org.x:name:1.0:all@tar.gz"),
        ("com/y/kafka_2.13/4.3.1/kafka_2.13-4.3.1.jar", "com.y:kafka_2.13:4.3.1"),
        ("com/y/z/1.5.6-10/z-1.5.6-10-linux-x86_64.jar", "com.y:z:1.5.6-10:linux-x86_64"),
    ],
)
def test_a_place_in_a_repository_is_one_coordinate(path, coordinate):
    assert tools.coordinate_of(Path(path)) == coordinate


@pytest.mark.parametrize(
    ("came", "message"),
    [
        ({"a:b:1": ONE}, f"a:b:1: expected {ZERO}, got {ONE}"),
        ({"a:b:1": ZERO, "a:c:1": ONE}, f"a:c:1: expected not in the lock, got {ONE}"),
        ({}, f"a:b:1: expected {ZERO}, got did not come"),
    ],
    ids=["another digest", "one more", "one less"],
)
def test_what_is_not_in_the_lock_is_refused(came, message):
    with pytest.raises(ApplianceError) as caught:
        tools.check_lock(came, {"a:b:1": ZERO}, Path("lock"))
    assert (caught.value.code.id, caught.value.message) == ("APL-SERVERS-004", message)


def test_the_digest_of_a_folder_is_that_of_stock_tools(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("b/x", "B", "b-1", "a b", "é"):
        (tmp_path / name).write_text(name)
    script = r"find . -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert digest_of(tmp_path) == done.stdout.split()[0]


@pytest.mark.parametrize(
    ("name", "kind"), [("../out", tarfile.REGTYPE), ("/out", tarfile.REGTYPE), ("link", tarfile.SYMTYPE)]
)
def test_an_archive_that_leaves_its_folder_is_refused(tmp_path, name, kind):
    archive = tmp_path / "archive.tar.gz"
    with tarfile.open(archive, "w:gz") as members:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "/etc/passwd"
        members.addfile(member, io.BytesIO(b""))
    with pytest.raises(ApplianceError) as caught:
        tools._unpack(archive, tmp_path / "target")
    assert caught.value.code.id == "APL-SERVERS-004"
    assert list((tmp_path / "target").iterdir()) == []
    assert not (tmp_path / "out").exists()


@pytest.fixture
def tree(tmp_path):
    """A working tree with one recipe of kind wheel, and the file that its environment installed."""
    (tmp_path / "servers" / "server").mkdir(parents=True)
    shutil.copytree(ROOT / "servers" / "builder", tmp_path / "servers" / "builder")
    (tmp_path / "offline_wheels").mkdir()
    (tmp_path / "offline_wheels" / "servers.lock").write_text("")
    installed = tmp_path / ".venv-servers/lib/python3.11/site-packages/server"
    installed.parent.mkdir(parents=True)
    installed.write_bytes(b"program")
    digest = hashlib.sha256(b"program").hexdigest()
    (tmp_path / "servers" / "server" / "recipe.toml").write_text(GOOD.replace(ZERO, digest))
    return tmp_path


def build(tree):
    said = []
    (facts,) = bench.build_all(list(load_recipes(tree / "servers").values()), tree, tree / ".servers", said.append)
    return facts, said


def test_what_stands_is_kept_and_what_was_altered_is_built_again(tree):
    first, _ = build(tree)
    second, said = build(tree)
    assert (first["kept"], second["kept"], said) == (False, True, ["server: is there"])
    assert json.loads((tree / ".servers/server/built.json").read_text())["licence"] == "MIT"
    (tree / ".servers/server/server").unlink()
    (tree / ".servers/server/server").write_bytes(b"altered")
    third, _ = build(tree)
    assert third["kept"] is False
    assert (tree / ".servers/server/server").read_bytes() == b"program"


def test_a_result_with_another_digest_is_not_installed(tree):
    build(tree)
    (tree / ".venv-servers/lib/python3.11/site-packages/server").write_bytes(b"another")
    with pytest.raises(ApplianceError) as caught:
        build(tree)
    assert caught.value.code.id == "APL-SERVERS-004"
    assert hashlib.sha256(b"another").hexdigest() in caught.value.message


def test_a_missing_environment_is_named(tree):
    (tree / ".venv-servers/lib/python3.11/site-packages/server").unlink()
    with pytest.raises(ApplianceError) as caught:
        build(tree)
    assert caught.value.code.id == "APL-SERVERS-002"


def test_the_builder_needs_no_environment():
    """Debian's interpreter without site packages; help ends in an example."""
    words = ["/usr/bin/python3", "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); "]
    words[-1] += "from servers.builder.__main__ import main; main(['--help'])"
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("Example: python3 -m servers.builder minio mc --json")


def test_an_unknown_name_is_an_error_with_a_code():
    done = subprocess.run(
        [sys.executable, "-m", "servers.builder", "nosuch", "--json"], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (2, "APL-SERVERS-001")
