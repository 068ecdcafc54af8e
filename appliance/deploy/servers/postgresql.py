"""PostgreSQL: TLS, scram-sha-256, logical decoding; on loopback, without a Unix socket.

It refuses to run as root. Where the command line is root it runs as Debian's user ``postgres``, to whom its folder
belongs; that user must be able to enter every folder above it, and gets the site's folder by its group.
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from collections.abc import Collection
from pathlib import Path

import psycopg
from psycopg import sql

from appliance.base import atomic, process
from appliance.base.errors import ApplianceError
from appliance.deploy import codes
from appliance.deploy.servers.https import NotReadyError
from appliance.deploy.servers.place import HOST, Place, Program, damaged

NAME = "postgresql"
SUPERUSER = "appliance"
USER = "postgres"  # of the operating system, where we are root
DATABASES = ("registry", "lake")  # each with a role of its own that owns it
INIT_TIMEOUT_S = 60.0


def configuration(place: Place) -> str:
    home = place.folder / NAME
    return f"""\
listen_addresses = '{HOST}'
port = {place.port(NAME)}
unix_socket_directories = ''
hba_file = '{home}/pg_hba.conf'
ssl = on
ssl_cert_file = '{home}/server.pem'
ssl_key_file = '{home}/server.key'
ssl_min_protocol_version = 'TLSv1.2'
password_encryption = 'scram-sha-256'
wal_level = logical
max_connections = 60
shared_buffers = 128MB
max_wal_size = 512MB
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u@%d '
"""


ACCESS = f"hostssl all all {HOST}/32 scram-sha-256\nhostssl replication all {HOST}/32 scram-sha-256\n"


def check(place: Place) -> None:
    data = place.folder / NAME / "data"
    if not data.exists():
        return
    version = data / "PG_VERSION"
    if not version.is_file() or version.read_text(errors="replace").strip() != "15":
        raise damaged(version, "expected the data of PostgreSQL 15")
    control = data / "global" / "pg_control"
    if not control.is_file() or control.stat().st_size != 8192:
        raise damaged(control, "expected 8192 bytes")


def prepare(place: Place) -> None:
    home = place.home(NAME)
    place.write(NAME, "postgresql.conf", configuration(place))
    place.write(NAME, "pg_hba.conf", ACCESS)
    atomic.write_bytes(home / "server.pem", place.certificate(NAME).read_bytes(), mode=0o600)
    atomic.write_bytes(home / "server.key", place.key(NAME).read_bytes(), mode=0o600)
    user = _user()
    if user is not None:
        _open_way(home, user)
    if not (home / "data").exists():
        _make_data(place, home, user)


def program(place: Place) -> Program:
    home = place.folder / NAME
    command = (str(place.built(NAME)), "-D", f"{home}/data", "-c", f"config_file={home}/postgresql.conf")
    # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for every client to leave.
    return Program(command=command, user=USER if _user() else None, stop_signal="INT")


def answers(place: Place) -> None:
    ready(place)


def ready(place: Place) -> None:
    try:
        with connect(place) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        raise NotReadyError(str(error).strip()) from error


def settle(place: Place) -> None:
    """Roles and databases of the other servers; a password that was renewed becomes the role's."""
    try:
        with connect(place) as connection:
            connection.autocommit = True
            for name in DATABASES:
                _make_database(connection, name, place.secret(f"postgresql-{name}"))
    except psycopg.Error as error:
        raise ApplianceError(codes.REFUSED, f"{NAME}: {error}".strip(), where=str(place.log(NAME))) from error


def connect(
    place: Place, *, role: str = SUPERUSER, database: str = "postgres"
) -> psycopg.Connection[tuple[object, ...]]:
    """A connection by TLS whose certificate was checked; raises psycopg.Error."""
    return psycopg.connect(
        host=HOST,
        port=place.port(NAME),
        user=role,
        password=place.secret(NAME if role == SUPERUSER else f"postgresql-{role}"),
        dbname=database,
        sslmode="verify-full",
        sslrootcert=str(place.authority),
        connect_timeout=3,
    )


def first_closed(path: Path, uid: int, groups: Collection[int]) -> Path | None:
    """The first folder on the way to `path`, itself left out, that the user may not enter."""
    for folder in reversed(path.parents):
        about = folder.stat()
        bit = stat.S_IXUSR if about.st_uid == uid else stat.S_IXGRP if about.st_gid in groups else stat.S_IXOTH
        if not about.st_mode & bit:
            return folder
    return None


def _user() -> pwd.struct_passwd | None:
    """Debian's user where we are root, None where we are not."""
    return pwd.getpwnam(USER) if os.geteuid() == 0 else None


def _open_way(home: Path, user: pwd.struct_passwd) -> None:
    """Give the folder to the user, and let its group enter the two above."""
    for folder in (home.parent, home.parent.parent):
        os.chown(folder, -1, user.pw_gid)
        folder.chmod(stat.S_IMODE(folder.stat().st_mode) | stat.S_IXGRP)
    for path in (home, *home.iterdir()):
        os.chown(path, user.pw_uid, user.pw_gid)
    closed = first_closed(home, user.pw_uid, os.getgrouplist(USER, user.pw_gid))
    if closed is not None:
        message = f"the user {USER} may not enter {closed}"
        raise ApplianceError(codes.FOLDER_UNSUITABLE, message, where=str(home))


def _make_data(place: Place, home: Path, user: pwd.struct_passwd | None) -> None:
    draft, password = home / "draft", home / "password"
    shutil.rmtree(draft, ignore_errors=True)
    password.write_text(place.secret(NAME))
    password.chmod(0o600)
    if user is not None:
        os.chown(password, user.pw_uid, user.pw_gid)
    as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups"] if user is not None else []
    initdb = place.built(NAME).with_name("initdb")
    words = ["--username", SUPERUSER, f"--pwfile={password}", "--auth", "scram-sha-256", "--data-checksums"]
    try:
        process.run(
            [*as_user, initdb, "--pgdata", draft, *words, "--encoding", "UTF8", "--locale", "C.UTF-8"],
            timeout_s=INIT_TIMEOUT_S,
            folder=home,
        )
    finally:
        password.unlink()
    draft.rename(home / "data")


def _make_database(connection: psycopg.Connection[tuple[object, ...]], name: str, password: str) -> None:
    role = sql.Identifier(name)
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (name,)).fetchone()
    verb = sql.SQL("ALTER" if known else "CREATE")
    # The server hashes it; the connection is encrypted and log_statement is none.
    connection.execute(sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, role, sql.Literal(password)))
    if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is None:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(role, role))
