"""Nothing of a bundle is used that has not the digest which was verified; a copied folder is whole or absent."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from ansible.module_utils import draft, verified_bundle

from tests.unit.ansible_roles.a_bundle import digest, make_bundle, wheel
from tests.unit.ansible_roles.conftest import PLUGINS

FILES = {"servers/web/web": b"program", "servers/web/lib/part": b"part", "servers/webber/x": b"another"}


@pytest.fixture
def bundle(tmp_path):
    told = make_bundle(tmp_path / "bundle", FILES, programs=["servers/web/web"])
    return verified_bundle.load(tmp_path / "bundle", told)


def test_another_manifest_is_refused(bundle):
    with pytest.raises(verified_bundle.BundleError, match=f"expected sha256:00, got {bundle.manifest_digest}"):
        verified_bundle.load(bundle.folder, "sha256:00")


def test_no_bundle_there(tmp_path):
    with pytest.raises(verified_bundle.BundleError, match=r"manifest\.json: cannot be read: No such file"):
        verified_bundle.load(tmp_path, "sha256:00")


def test_a_folder_is_copied_with_its_modes(bundle, plugin, tmp_path):
    make = plugin("modules", "bundle_files").make
    target = tmp_path / "release" / "web"
    os.umask(0o077)
    assert make(bundle, "servers/web", target, check=True)
    assert not target.parent.exists()
    assert make(bundle, "servers/web", target, check=False)
    assert {path.relative_to(target).as_posix(): oct(path.stat().st_mode & 0o777) for path in target.rglob("*")} == {
        "web": "0o755", "lib": "0o755", "lib/part": "0o644", draft.STAMP: "0o644",
    }  # fmt: skip
    assert not make(bundle, "servers/web", target, check=False)
    assert [each.name for each in target.parent.iterdir()] == ["web"]


def test_a_changed_file_leaves_nothing(bundle, plugin, tmp_path):
    (bundle.folder / "servers/web/web").write_bytes(b"Program")
    with pytest.raises(
        verified_bundle.BundleError, match=f"servers/web/web: expected {digest(b'program')}, got sha256"
    ):
        plugin("modules", "bundle_files").make(bundle, "servers/web", tmp_path / "release" / "web", check=False)
    assert list((tmp_path / "release").iterdir()) == []


def test_what_the_bundle_has_not_is_named(bundle):
    with pytest.raises(verified_bundle.BundleError, match="servers/none: the bundle small has none"):
        bundle.below("servers/none")
    with pytest.raises(verified_bundle.BundleError, match="no environment runtime"):
        bundle.wheels("runtime", own=True)


def test_the_wheels_of_an_environment(tmp_path):
    inputs = [wheel("one", b"1", "runtime", "dev"), wheel("two", b"2", "dev")]
    files = {"wheels/one-1.0.whl": b"1", "wheels/two-1.0.whl": b"2", "wheels/appliance-0.1.0-py3-none-any.whl": b"3"}
    found = verified_bundle.load(tmp_path, make_bundle(tmp_path, files, inputs=inputs))
    assert [each.requirement for each in found.wheels("runtime", own=False)] == [f"one==1.0 --hash={digest(b'1')}"]
    assert [each.requirement for each in found.wheels("runtime", own=True)][1:] == [
        f"appliance==0.1.0 --hash={digest(b'3')}"
    ]


KILLED = """
    import os, sys
    import ansible.module_utils
    ansible.module_utils.__path__.append({utils!r})
    from ansible.module_utils.draft import drafted
    from pathlib import Path
    seen = 0
    def tracer(frame, event, argument):  # a line of draft.py more each time, then the hardest end there is
        global seen
        if not frame.f_code.co_filename.endswith("draft.py"):
            return None
        if event == "line":
            seen += 1
            if seen == int(sys.argv[2]):
                os.kill(os.getpid(), 9)
        return tracer
    os.sync = lambda: None
    sys.settrace(tracer)
    with drafted(Path(sys.argv[1]), {{"of": "new"}}) as draft:
        draft.made.mkdir()
        (draft.made / "file").write_text("new")
"""


@pytest.mark.parametrize("before", [None, "old"])
def test_killed_at_any_line_the_folder_is_whole_or_absent(tmp_path, before):
    """One process for each line: the former folder, the new one, or none between the two renames; then a run ends."""
    script = textwrap.dedent(KILLED).format(utils=str(PLUGINS / "module_utils"))
    ended = None
    for line in range(1, 60):
        folder = tmp_path / str(line) / "web"
        if before:
            with draft.drafted(folder, {"of": before}) as made:
                made.made.mkdir()
                (made.made / "file").write_text(before)
        ended = subprocess.run([sys.executable, "-c", script, folder, str(line)], check=False).returncode
        if folder.exists():
            state = (folder / "file").read_text()
            assert draft.is_made_from(folder, {"of": state})
            assert state in (before, "new")
        with draft.drafted(folder, {"of": "new"}) as made:
            made.made.mkdir()
            (made.made / "file").write_text("new")
        assert [each.name for each in folder.parent.iterdir()] == ["web"]
        assert draft.is_made_from(folder, {"of": "new"})
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
    assert ended == 0, "the last run was not killed: every line had its turn"
