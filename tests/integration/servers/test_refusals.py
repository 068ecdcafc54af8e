"""What cannot go well is refused in under five seconds, with a code, and before anything was started."""

import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from appliance.deploy.servers.lifecycle import READY_S
from appliance.deploy.servers.supervisor import lost
from tests.integration.servers.running import Servers
from tests.product import ENVIRONMENT, command

LIMIT_S = 5.0


def refused(site, code, *names, exit_code, within_s=LIMIT_S):
    """`site up` ends with the code in time, with nothing left running; gives the error."""
    began = time.monotonic()
    printed = site.up(*names, code=exit_code)
    assert time.monotonic() - began < within_s
    assert printed["error"]["code"] == code
    assert lost(site.place.folder) == []
    return printed["error"]


def test_a_busy_port_is_named(site):
    with socket.create_server(("127.0.0.1", site.place.port("registry-management"))):
        error = refused(site, "APL-SERVERS-006", exit_code=4)
    assert f"{site.place.port('registry-management')} (registry-management)" in error["message"]


def test_a_server_that_is_not_built_is_named(site, tmp_path):
    site.product.set(servers__folder=str(tmp_path))
    error = refused(site, "APL-SERVERS-005", exit_code=4)
    assert error["where"] == str(tmp_path / "postgresql" / "built.json")


def test_a_program_that_is_gone_is_named(site, tmp_path):
    for name in ("minio", "supervisor"):
        shutil.copytree(site.place.binaries / name, tmp_path / name)
    (tmp_path / "minio" / "minio").unlink()
    site.product.set(servers__folder=str(tmp_path))
    assert "minio" in refused(site, "APL-SERVERS-005", "minio", exit_code=4)["message"]


def test_an_unknown_name_is_refused(site):
    assert "'postgres'" in refused(site, "APL-SERVERS-011", "postgres", exit_code=2)["message"]


DAMAGES = {
    "the database's version": ("postgresql", "postgresql/data/PG_VERSION", b"14\n"),
    "the database's control file": ("postgresql", "postgresql/data/global/pg_control", b""),
    "the drive's identity": ("minio", "minio/data/.minio.sys/format.json", b"{"),
    "the broker's identity": ("kafka", "kafka/data/meta.properties", b"\0"),
    "the seal's key": ("openbao", "openbao/seal.key", b"short"),
    "the authority": ("mosquitto", "certificates/ca.pem", b"-----BEGIN CERTIFICATE-----\n"),
    "the authority's key": ("mosquitto", "certificates/ca.key", b""),
    "a secret": ("mosquitto", "secrets/mosquitto", b""),
}


@pytest.mark.parametrize("case", sorted(DAMAGES))
def test_damaged_state_is_named_and_left_as_it_is(site, case):
    name, path, data = DAMAGES[case]
    file = site.place.folder / path
    if name == "mosquitto":  # the rest of its certificates is sound
        site.up(name)
        site.down()
    if path.startswith("openbao"):
        (site.place.folder / "openbao" / "data").mkdir(parents=True)
        (site.place.folder / "openbao" / "data" / "vault.db").write_bytes(b"data")
    if path.startswith("postgresql/data/global"):
        file.parent.mkdir(parents=True)
        (file.parents[1] / "PG_VERSION").write_text("15\n")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    error = refused(site, "APL-SERVERS-007", name, exit_code=1)
    assert error["where"] == str(file)
    assert file.read_bytes() == data


def test_a_lost_key_of_the_store_is_not_made_anew(site):
    """With another one no object could be decrypted."""
    (site.place.folder / "minio" / "data" / ".minio.sys").mkdir(parents=True)
    (site.place.folder / "minio" / "data" / ".minio.sys" / "format.json").write_text("{}")
    error = refused(site, "APL-SERVERS-007", "minio", exit_code=1)
    assert error["where"] == str(site.place.secret_file("minio-kms-key"))
    assert not site.place.secret_file("minio-kms-key").exists()


def test_a_server_that_ends_is_reported_with_its_last_words_and_the_others_stop(site):
    """A control file of the right size with the wrong bytes: PostgreSQL itself must find it."""
    site.up("postgresql", "mosquitto")
    site.down()
    control = site.place.folder / "postgresql" / "data" / "global" / "pg_control"
    control.write_bytes(bytes(8192))
    error = refused(site, "APL-SERVERS-008", "mosquitto", "postgresql", exit_code=1, within_s=READY_S / 2)
    assert "postgresql: it ended" in error["message"]
    assert "FATAL" in error["message"] or "PANIC" in error["message"], error["message"]


def test_a_folder_that_postgresqls_user_may_not_enter_is_named(site):
    site.folder.chmod(0o700)
    error = refused(site, "APL-SERVERS-009", "postgresql", exit_code=4)
    assert str(site.folder) in error["message"]


def test_a_path_that_is_too_long_for_a_socket_is_refused():
    site = Servers()
    long = site.folder / ("long" * 20)
    long.mkdir()
    shutil.move(site.product.folder, long / "site")
    site.product.folder = long / "site"
    try:
        printed = site.product.do("site", "up", "--only", "mosquitto", code=4)
        assert printed["error"]["code"] == "APL-SERVERS-009"
    finally:
        shutil.rmtree(site.folder)


def test_two_commands_at_once_do_not_meet(site):
    words = command("site", "up", "--only", "postgresql", "--site", site.product.folder, "--json")
    first = subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    lock = site.place.folder / ".lock"
    while not lock.exists() and first.poll() is None:
        time.sleep(0.01)
    printed = site.product.run("site", "up", "--only", "postgresql").printed
    assert first.wait(timeout=60) == 0
    assert printed.get("error", {}).get("code") == "APL-BASE-006" or printed == {"started": []}


def test_a_failed_start_is_in_the_audit_record(site):
    refused(site, "APL-SERVERS-011", "nosuch", exit_code=2)
    text = str(site.product.do("audit", "list", role="auditor"))
    assert "site.up" in text
    assert "APL-SERVERS-011" in text
    assert Path(site.place.folder / "postgresql").exists() is False
