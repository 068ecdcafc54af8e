"""Order, ports and configuration of the servers: the decisions, without a server."""

import base64
import configparser
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from appliance.base.errors import ApplianceError
from appliance.config.model import StorageSection
from appliance.deploy.servers import lifecycle, nginx, plan, supervisor
from appliance.deploy.servers.place import Place, Program
from appliance.deploy.servers.postgresql import first_closed


@pytest.fixture
def place(tmp_path):
    return Place(
        site=tmp_path / "site 100%",
        logs=tmp_path / "logs",
        binaries=tmp_path / "built",
        first_port=9000,
        storage=StorageSection(),
        secrets_mount="site",
    )


def test_every_declared_server_has_a_module_and_the_other_way_round():
    assert tuple(lifecycle.SERVERS) == tuple(plan.BY_NAME)


def test_needs_come_earlier_in_the_table_so_that_its_order_is_an_order_of_start():
    seen = set()
    for server in plan.SERVERS:
        assert set(server.needs) <= seen
        seen.add(server.name)


def test_every_port_has_a_number_of_its_own():
    ports = [plan.port_of(port, 9000) for server in plan.SERVERS for port in server.ports]
    assert ports == list(range(9000, 9000 + len(ports)))


@pytest.mark.parametrize(
    ("names", "selected"),
    [
        ([], tuple(plan.BY_NAME)),
        (["minio"], ("minio",)),
        (["connect"], ("kafka", "connect")),
        (["nginx", "minio"], ("postgresql", "minio", "registry", "nginx")),
    ],
)
def test_what_is_needed_is_started_as_well(names, selected):
    assert plan.select(names) == selected


@pytest.mark.parametrize(
    ("names", "selected"),
    [
        ([], tuple(reversed(plan.BY_NAME))),
        (["minio"], ("minio",)),
        (["postgresql"], ("nginx", "registry", "postgresql")),
        (["kafka"], ("connect", "kafka")),
    ],
)
def test_what_needs_it_is_stopped_first(names, selected):
    assert plan.select_to_stop(names) == selected


@pytest.mark.parametrize("select", [plan.select, plan.select_to_stop])
def test_an_unknown_name_is_refused(select):
    with pytest.raises(ApplianceError, match=r"expected one of postgresql, .*, got 'postgres'") as caught:
        select(["postgres"])
    assert caught.value.code.id == "APL-SERVERS-011"


@pytest.mark.parametrize(
    ("started", "ready", "next_ones"),
    [
        ([], [], ("postgresql", "kafka")),
        (["postgresql", "kafka"], [], ()),
        (["postgresql", "kafka"], ["kafka"], ("connect",)),
        (["postgresql", "kafka", "connect"], ["postgresql", "kafka"], ("registry",)),
    ],
)
def test_a_server_starts_when_what_it_needs_is_ready(started, ready, next_ones):
    assert plan.startable(("postgresql", "kafka", "registry", "connect"), started, ready) == next_ones


def test_a_program_is_read_back_from_the_supervisors_configuration_as_it_was_given(place):
    """Spaces and percent signs in a path included."""
    given = Program(
        command=("/opt/a server", "--folder", f"{place.folder}/x", "100%"),
        environment=(("KEY", "a,b;c=d%"),),
        user="postgres",
        stop_signal="INT",
    )
    parser = configparser.RawConfigParser()
    parser.read_string(supervisor.section("name", given, place))
    values = dict(parser["program:name"])
    assert shlex.split(values["command"].replace("%%", "%")) == list(given.command)
    assert values["environment"].replace("%%", "%") == 'KEY="a,b;c=d%"'
    assert (values["user"], values["stopsignal"], values["autostart"]) == ("postgres", "INT", "false")


@pytest.mark.parametrize("value", ['a"b', "a\nb"])
def test_a_value_that_would_end_its_line_is_refused(place, value):
    with pytest.raises(ValueError, match="cannot stand in the configuration"):
        supervisor.section("name", Program(command=("a",), environment=(("KEY", value),)), place)


@pytest.mark.parametrize(
    ("mode", "uid", "groups", "closed"),
    [
        (0o700, 1, [], True),
        (0o710, 1, [], True),
        (0o701, 1, [], False),
        (0o710, 1, ["own"], False),
        (0o601, 1, ["own"], True),
    ],
)
def test_the_first_folder_that_a_user_may_not_enter_is_found(mode, uid, groups, closed):
    folder = Path(tempfile.mkdtemp())  # not pytest's, whose folders are closed to others
    (folder / "data").mkdir()
    folder.chmod(mode)
    own = [folder.stat().st_gid] if groups else []
    assert first_closed(folder / "data", uid, own) == (folder if closed else None)
    shutil.rmtree(folder)


def test_the_password_line_of_nginx_is_what_openssl_makes_of_it():
    salt = b"12345678"
    words = ["openssl", "dgst", "-sha1", "-binary"]
    digest = subprocess.run(words, input=b"secret" + salt, capture_output=True, check=True).stdout
    text = base64.b64encode(digest + salt).decode()
    assert nginx.password_line("user", "secret", salt) == f"user:{{SSHA}}{text}\n"


def test_a_secret_is_made_once_with_mode_0600(place):
    first = place.secret("name")
    assert len(first) >= 32
    assert place.secret("name") == first
    assert Path(place.secret_file("name")).stat().st_mode & 0o777 == 0o600
