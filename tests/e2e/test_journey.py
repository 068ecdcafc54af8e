"""From a bare Debian and a medium to a running appliance, by one command and without a packet that leaves."""

import datetime as dt
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from appliance.base.clock import SystemClock, rfc3339
from appliance.cli.main import run
from appliance.config.site import open_site
from appliance.wiring.parts import Parts
from tests.bundles import flip
from tests.e2e import egress, evidence, signed_bundle
from tests.e2e.attempts import negative_control
from tests.e2e.host import MEDIUM, HostError, NspawnHost
from tests.e2e.signed_bundle import SignedBundle

INSTALL_S = 900
SERVICES = tuple(f"appliance-{name}" for name in ("openbao", "postgres", "prometheus", "time-sync"))
SNAKEOIL = "ssl-cert-snakeoil.pem"  # see `DIFFERS`
TOPS = ("/etc", "/opt", "/usr", "/var")
RUNNING = "/var/log/", "/var/lib/systemd/", "/var/tmp/systemd-private", "/var/cache/ldconfig"
"""What changes while a host does nothing."""
DIFFERS = {
    "/etc/appliance/authority/": "authorities of the host's own",
    "/etc/appliance/certificates/": "keys of the host's own",
    "/etc/appliance/inventory/hosts.yml": "names the host",
    "/etc/appliance/openbao/": "keys of the host's own",
    "/etc/appliance/postgres/tls": "keys of the host's own",
    "/etc/appliance/prometheus/tls": "keys of the host's own",
    "/etc/hostname": "names the host",
    "/etc/hosts": "names the host",
    "/etc/machine-id": "tells hosts apart",
    "/etc/ssh/ssh_host_": "tells hosts apart",
    "/etc/ssl/private/ssl-cert-snakeoil.key": "a key that Debian's ssl-cert makes; nothing of ours takes it",
    "/var/cache/apt/": "apt makes it anew",
    "/var/cache/debconf/": "Debian's own record of what packages asked",
    "/var/lib/appliance/certificates": "state of the service",
    "/var/lib/appliance/deploy": "what was done when",
    "/var/lib/appliance/openbao": "state of the service, and that of an initialization that was cut",
    "/var/lib/appliance/postgres": "state of the service",
    "/var/lib/appliance/prometheus": "state of the service",
    "/var/lib/appliance/time-sync": "state of the service",
}
"""Beginning of a path, and why two hosts of one release and inventory are not the same there."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> SignedBundle:
    return signed_bundle.make(tmp_path_factory.mktemp("journey"), "journey", "ansible", "runtime")


@contextmanager
def step(name: str) -> Iterator[None]:
    """Tells what a step of the journey took."""
    began = time.monotonic()
    yield
    print(f"{time.monotonic() - began:7.1f} s  {name}", flush=True)


def install(host: NspawnHost, root_digest: str, *words: str, code: int = 0):
    """The one command; gives its result and what it said."""
    told = ["bash", f"{MEDIUM}/install.sh", root_digest, *words]
    done = host.run(told, check=False, timeout_s=INSTALL_S)
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-6000:]
    return done


def state(host: NspawnHost, without=RUNNING) -> dict[str, str]:
    found = host.digest(TOPS)
    own = {
        path for path, told in found.items() if SNAKEOIL in (path.rpartition("/")[2], told.rpartition(" ")[2])
    }  # links by its digest
    return {path: told for path, told in found.items() if not path.startswith(tuple(without)) and path not in own}


def differences(one, other):
    return {
        path: (one.get(path), other.get(path)) for path in one.keys() | other.keys() if one.get(path) != other.get(path)
    }


def assert_same(one, other) -> None:
    differ = differences(one, other)
    assert not differ, f"{len(differ)} places: {dict(sorted(differ.items())[:40])}"


def assert_it_runs(host: NspawnHost) -> None:
    units = host.run(["systemctl", "is-active", *SERVICES]).stdout.split()
    assert units == ["active"] * len(SERVICES)
    asked = (
        "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9090/api/v1/query?query=up').read().decode())"
    )
    end = time.monotonic() + 60
    while True:  # it is active before it has read its first figures
        answer = json.loads(host.run(["python3", "-I", "-c", asked]).stdout)
        if answer["data"]["result"] or time.monotonic() > end:
            break
        time.sleep(1)
    assert {each["value"][1] for each in answer["data"]["result"]} == {"1"}


def refusals_change_nothing(host: NspawnHost, bundle: SignedBundle) -> None:
    before = state(host)
    wrong = "sha256:" + "0" * 64
    said = install(host, wrong, code=3).stderr
    assert "nothing on this host was changed" in said
    assert "do: " in said
    for path in ("ansible/playbooks/site.yml", next(bundle.folder.glob("apt/pool/*.deb")).relative_to(bundle.folder)):
        flip(bundle.folder / path)
        assert str(path) in install(host, bundle.root_digest, code=3).stderr
        flip(bundle.folder / path)
    install(host, "sha256:2a97", code=2)
    assert_same(before, state(host))


def looks_change_nothing(host: NspawnHost, bundle: SignedBundle) -> None:
    """Outside of what says that they do: the bundle and the control environment, and their record."""
    own = (*RUNNING, "/opt/appliance", "/var/lib/appliance", "/var/cache/apt/")
    before = state(host, own)
    install(host, bundle.root_digest, "preflight")
    assert "+prometheus absent -> " in install(host, bundle.root_digest, "install", "--check", "--diff").stderr
    assert_same(before, state(host, own))


def a_medium_that_lies_is_refused(host: NspawnHost, bundle: SignedBundle) -> None:
    """cp stands for a medium that gives other bytes when it is read again."""
    lie = (
        '#!/bin/sh\n/usr/bin/cp.own "$@" || exit\n[ "$1" = -R ] || exit 0\n'
        'for last; do :; done\nprintf x >> "$last/ansible/playbooks/site.yml"\n'
    )
    host.run(["mv", "/usr/bin/cp", "/usr/bin/cp.own"])
    host.run(["install", "-m", "0755", "/dev/stdin", "/usr/bin/cp"], input=lie)
    said = install(host, bundle.root_digest, code=3).stderr
    assert "the medium gives other bytes than before" in said
    assert "ansible/playbooks/site.yml" in said
    assert host.run(["find", "/opt/appliance/bundle", "/opt/appliance/control", "-mindepth", "1"]).stdout == ""
    host.run(["mv", "/usr/bin/cp.own", "/usr/bin/cp"])


def cut_power_during(host: NspawnHost, bundle: SignedBundle, wait: Callable[[], None]) -> None:
    """Of an installation that has run until `wait` returns."""

    def begin() -> None:
        with suppress(HostError):
            told = ["bash", f"{MEDIUM}/install.sh", bundle.root_digest]
            ended.append(host.run(told, check=False, timeout_s=INSTALL_S).returncode)

    ended: list[int] = []
    work = threading.Thread(target=begin)
    work.start()
    wait()
    host.kill()
    work.join(60)
    assert ended != [0], "it had ended before the power was cut"
    host.start()


def until_openbao_initializes(host: NspawnHost) -> None:
    """The file of its root token is empty while it does: some hundredths of a second."""
    token = host.folder / "upper/etc/appliance/openbao/keys/root-token"
    end = time.monotonic() + INSTALL_S
    while not (token.exists() and token.stat().st_size == 0):
        assert time.monotonic() < end
        time.sleep(0.001)


def test_from_a_medium_to_a_running_host(bundle, sink, tmp_path, capsys, seed):
    with capsys.disabled(), NspawnHost("h1", sink, medium=bundle.folder) as host:
        print(flush=True)
        began_at = rfc3339(dt.datetime.now(dt.UTC))
        with NspawnHost("h2", sink, medium=bundle.folder) as second:
            with step("negative control of two hosts"):
                control = negative_control(sink, [host, second])
            with step("a wrong digest and two flipped bytes are refused, nothing was changed"):
                refusals_change_nothing(host, bundle)
            with step("preflight, and install --check --diff, on the bare host"):
                looks_change_nothing(host, bundle)
            began = time.monotonic()
            with step("one command, from there to the running host"):
                install(host, bundle.root_digest)
            took_s = time.monotonic() - began
            with step("it runs and answers"):
                assert_it_runs(host)
            with step("second run"):
                told = json.loads(install(host, bundle.root_digest, "install", "--json").stdout)
                assert (told["ok"], told["release"]) == (True, bundle.release)
                assert {name: each["changed"] for name, each in told["hosts"].items()} == {"h1": 0}
            with step("verify"):
                install(host, bundle.root_digest, "verify")
            once = state(host, (*RUNNING, *DIFFERS))
            with step("a medium that lies is refused"):
                a_medium_that_lies_is_refused(second, bundle)
            with step("power cut while OpenBao initializes itself, and boot"):
                cut_power_during(second, bundle, lambda: until_openbao_initializes(second))
            rng = random.Random(seed)
            for part in (0.3, 1.0):
                after_s = rng.uniform(1, took_s * part)
                with step(f"power cut after {after_s:.1f} s, and boot"):
                    cut_power_during(second, bundle, lambda after_s=after_s: time.sleep(after_s))
            with step("the same command again"):
                install(second, bundle.root_digest)
                assert_it_runs(second)
            assert_same(once, state(second, (*RUNNING, *DIFFERS)))
            with step("reboot, still there"):
                host.reboot()
                assert_it_runs(host)
                shown = host.run(
                    [f"/opt/appliance/control/{bundle.release}/bin/appliance", "deploy", "status", "--json"]
                )
                assert json.loads(shown.stdout)["release"] == bundle.release
            with step("egress report, signed and verified"):
                told = egress.report(
                    sink.samples(), control, [], hosts=["h1", "h2"], began_at=began_at,
                    ended_at=rfc3339(dt.datetime.now(dt.UTC)), questions=sink.questions(),
                )  # fmt: skip
                assert told["attempts"] == 0, told["per_destination"]
                prove(told, bundle, tmp_path)


def prove(told, bundle: SignedBundle, folder) -> None:
    """As evidence in the log of a site, read back as an auditor does."""
    site = folder / "site"
    assert run(["site", "init", "--site", str(site)]) == 0
    parts = Parts(site=open_site(site), clock=SystemClock())
    about, inputs = f"journey/{signed_bundle.VERSION}", {"manifest": bundle.manifest_digest}
    evidence.write(folder, told, about=about, inputs=inputs, signer=parts.signer)
    assert evidence.read(folder, about=about, anchor=parts.anchor) == told
