"""Locks and fetches with the real apt and pip of this machine."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from appliance.base.progress import NoProgress
from appliance.bundle import lock as locks
from appliance.bundle import sources
from appliance.bundle.apt import Apt
from appliance.bundle.declaration import Checkout
from appliance.bundle.store import Store
from tests.system.bundle.conftest import ROOT, make_renewed

pytestmark = pytest.mark.integration
NO_NETWORK = {
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "no_proxy": "",
    "PIP_RETRIES": "0",
}


def test_a_lock_without_news_is_the_same_bytes(renewed, capsys):
    path = renewed.checkout / "bundles/demo.lock.json"
    before = path.read_bytes()
    code, told = renewed.ask(capsys, "lock", "demo")
    assert (code, told["written"], told["changes"]) == (0, False, [])
    assert path.read_bytes() == before
    assert renewed.ask(capsys, "outdated", "demo") == (0, {"outdated": False, **_sizes(told), "changes": []})


def _sizes(told):
    return {"bytes_before": told["bytes_before"], "bytes_after": told["bytes_after"]}


def test_outdated_tells_what_a_lock_would_change_and_writes_none(renewed, capsys):
    path = renewed.checkout / "bundles/demo.lock.json"
    good = path.read_bytes()
    lock = renewed.lock
    inputs = [
        msgspec.structs.replace(each, version="0.1", licence="BSL-1.1") if each.name == "uv" else each
        for each in lock.inputs
        if each.name != "procps"
    ]
    path.write_bytes(locks.render(msgspec.structs.replace(lock, inputs=inputs)))
    try:
        altered = path.read_bytes()
        code, told = renewed.ask(capsys, "outdated", "demo")
        assert path.read_bytes() == altered
    finally:
        path.write_bytes(good)
    assert code == 1
    assert [(each["what"], each["kind"], each["name"]) for each in told["changes"]] == [
        ("added", "deb", "procps"),
        ("version", "wheel", "uv"),
    ]
    assert told["changes"][1]["licence"].startswith("BSL-1.1 -> ")


def test_outdated_tells_flaws_that_a_lock_would_mend(renewed, tmp_path, capsys):
    path = renewed.checkout / "bundles/demo.lock.json"
    good = path.read_bytes()
    older = [
        msgspec.structs.replace(each, version="0.1") if each.name == "uv" else each for each in renewed.lock.inputs
    ]
    osv = {"id": "CVE-1", "modified": "2026-03-01T10:00:00Z", "affected": [{
        "package": {"ecosystem": "PyPI", "name": "uv"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "0.2"}]}]}]}  # fmt: skip
    (tmp_path / "CVE-1.json").write_text(json.dumps(osv))
    path.write_bytes(locks.render(msgspec.structs.replace(renewed.lock, inputs=older)))
    try:
        code, told = renewed.ask(capsys, "outdated", "demo", "--advisories", str(tmp_path))
    finally:
        path.write_bytes(good)
    assert code == 1
    assert [(each["id"], each["version"], each["fixed"]) for each in told["flaws"]["mended"]] == [
        ("CVE-1", "0.1", "0.2")
    ]
    assert told["flaws"]["brought"] == told["flaws"]["stay"] == []


def test_the_lock_has_every_kind_with_its_reasons(renewed):
    lock = renewed.lock
    by_name = {each.name: each for each in lock.inputs}
    assert {each.kind for each in lock.inputs} == {"deb", "server", "wheel"}
    assert "server:mosquitto" in by_name["mosquitto"].wanted_by
    assert "deb:mosquitto" in by_name["libmosquitto1"].wanted_by
    assert by_name["procps"].wanted_by == ["bundle:demo"]
    assert by_name["uv"].wanted_by == ["environment:uv"]
    assert (by_name["uv"].origin, by_name["uv"].licence) == ("PyPI", "MIT OR Apache-2.0")
    assert by_name["versitygw"].executable
    assert by_name["mosquitto"].origin.startswith("Debian bookworm")
    assert sum(each.size_bytes for each in lock.inputs) < 100_000_000
    assert "//" not in (renewed.checkout / "bundles/demo.lock.json").read_text()


def test_every_package_of_debian_has_a_licence_and_a_source(renewed):
    packages = {each.name: each for each in renewed.lock.inputs if each.kind == "deb"}
    assert all(each.licence and each.source for each in packages.values())
    assert packages["mosquitto"].licence == "(BSD-3-Clause OR EPL-2.0) AND BSD-1-Clause"
    assert packages["libproc2-0"].source.name == "procps"


def test_a_package_keeps_its_licence_and_is_not_fetched_for_it(renewed, tmp_path, capsys):
    made = make_renewed(tmp_path / "checkout", Store(tmp_path / "store"))
    before = (renewed.checkout / "bundles/demo.lock.json").read_bytes()
    (made.checkout / "bundles/demo.lock.json").write_bytes(before)
    code, told = made.ask(capsys, "lock", "demo")
    assert (code, told["written"]) == (0, False)
    assert not [each.name for each in made.lock.inputs if each.kind == "deb" and made.store.has(each.digest)]


def test_the_base_is_what_debootstrap_installs(renewed, bare_debian):
    listed = subprocess.run(
        ["dpkg-query", f"--admindir={bare_debian}/var/lib/dpkg", "-W", "-f", "${Package}\n"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert [each.name for each in renewed.lock.base] == sorted(listed)


def test_the_store_has_everything_once_and_right(renewed, capsys):
    assert renewed.store.missing(renewed.lock) == []
    assert renewed.store.check() == []
    assert renewed.ask(capsys, "fetch", "demo") == (0, {"fetched": 0, "bytes": 0, "failures": []})


def altered(lock, **changes):
    """`changes`: fields by the name of the input, with ``-`` as ``_``."""
    inputs = [msgspec.structs.replace(each, **changes.get(each.name.replace("-", "_"), {})) for each in lock.inputs]
    return msgspec.structs.replace(lock, inputs=inputs)


def fetch(renewed, lock, store):
    return sources.fetch(lock, checkout=Checkout(renewed.checkout), store=store, progress=NoProgress())


def test_each_input_that_cannot_be_had_has_its_own_code_and_the_others_come(renewed, tmp_path):
    other = [{"digest": "sha256:" + digit * 64} for digit in "0123"]
    gone = {"version": "0.1", **other[0]}
    lock = altered(renewed.lock, libwrap0=gone, libdlt2=other[1], uv=other[2], versitygw=other[3])
    store = Store(tmp_path / "store")
    fetched = fetch(renewed, lock, store)
    assert {(each.input.name, each.error.code.id) for each in fetched.failures} == {
        ("libdlt2", "APL-BUNDLE-004"),
        ("libwrap0", "APL-BUNDLE-003"),
        ("uv", "APL-BUNDLE-004"),
        ("versitygw", "APL-BUNDLE-004"),
    }
    message = next(each.error.message for each in fetched.failures if each.input.name == "libwrap0")
    assert "is not offered any more; offered: 7.6.q-32" in message
    assert {each.name for each in store.missing(lock)} == {"libdlt2", "libwrap0", "uv", "versitygw"}
    assert store.check() == []


def test_a_version_that_the_index_never_had_is_told(renewed, tmp_path):
    lock = altered(renewed.lock, uv={"version": "0.0.0.1", "digest": "sha256:" + "0" * 64})
    only = msgspec.structs.replace(lock, inputs=[each for each in lock.inputs if each.name == "uv"])
    (failure,) = fetch(renewed, only, Store(tmp_path / "store")).failures
    assert failure.error.code.id == "APL-BUNDLE-003"


def test_without_a_network_it_says_so_and_keeps_what_is_there(renewed, tmp_path, monkeypatch, capsys):
    for name, value in NO_NETWORK.items():
        monkeypatch.setenv(name, value)
        monkeypatch.setenv(name.upper(), value)
    store = Store(tmp_path / "store")
    fetched = fetch(renewed, renewed.lock, store)
    assert {each.error.code.id for each in fetched.failures} == {"APL-BUNDLE-005"}
    assert [each.kind for each in renewed.lock.inputs if store.has(each.digest)] == ["server"]
    path = renewed.checkout / "bundles/demo.lock.json"
    before = path.read_bytes()
    code, told = renewed.ask(capsys, "lock", "demo")
    assert (code, told["error"]["code"]) == (1, "APL-BUNDLE-005")
    assert path.read_bytes() == before


def test_a_package_that_debian_does_not_have_is_named_with_who_wants_it(renewed, tmp_path, capsys):
    made = make_renewed(tmp_path, renewed.store)
    path = tmp_path / "bundles/demo.toml"
    path.write_text(path.read_text().replace('"procps"', '"procps", "no-such-package"'))
    code, told = made.ask(capsys, "lock", "demo")
    assert (code, told["error"]["code"]) == (1, "APL-BUNDLE-003")
    assert "no-such-package (bundle:demo)" in told["error"]["message"]
    assert not (tmp_path / "bundles/demo.lock.json").exists()


def test_packages_that_do_not_fit_together_are_told_in_apts_words(renewed, tmp_path, capsys):
    made = make_renewed(tmp_path, renewed.store)
    path = tmp_path / "bundles/demo.toml"
    path.write_text(path.read_text().replace('"procps"', '"systemd-sysv", "sysvinit-core"'))
    code, told = made.ask(capsys, "lock", "demo")
    assert (code, told["error"]["code"]) == (1, "APL-BUNDLE-007")
    assert "sysvinit-core" in told["error"]["message"]


def test_a_killed_fetch_goes_on_and_leaves_nobody_at_work(renewed, tmp_path):
    store, lock = Store(tmp_path / "store"), renewed.lock
    command = [
        sys.executable, "-m", "appliance", "bundle", "fetch", "demo", "--json",
        "--checkout", renewed.checkout, "--store", store.folder,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    running = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    until = time.monotonic() + 120
    while len(store.missing(lock)) == len(lock.inputs):  # until the first one is there
        assert running.poll() is None
        assert time.monotonic() < until
        time.sleep(0.002)
    running.send_signal(signal.SIGKILL)
    running.wait()
    missing = store.missing(lock)
    assert missing
    assert store.check() == []
    while _at_work(store.folder):
        assert time.monotonic() < until
        time.sleep(0.1)
    done = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=300)
    assert json.loads(done.stdout)["fetched"] == len(missing)
    assert store.missing(lock) == []
    assert store.check() == []


def _at_work(folder):
    """Processes whose command line names the store: a pip or apt that outlived its parent."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        found += [path] if str(folder).encode() in words else []
    return found


def test_apt_writes_below_its_folder_only(renewed, tmp_path):
    """As somebody else than root, who could not write elsewhere."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become another")
    folder = tmp_path / "apt"
    folder.mkdir()
    for path in (*tmp_path.parents, tmp_path):
        if path.owner() == "root" and path.is_relative_to("/tmp/pytest-of-root"):
            path.chmod(path.stat().st_mode | 0o755)
    os.chown(folder, 65534, 65534)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setgid(65534)
            os.setuid(65534)
            apt = Apt(folder)
            apt.update()
            code = 0 if apt.index.versions("procps") and apt.resolve(["hello"], ()) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
