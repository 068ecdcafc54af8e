"""nginx: TLS and a password in front of the schema registry, which has TLS and no password."""

from __future__ import annotations

import base64
import getpass
import hashlib
import secrets

from appliance.deploy.servers.https import ask, expect_ok
from appliance.deploy.servers.place import Place, Program

NAME = "nginx"
USER = "appliance"


def configuration(place: Place) -> str:
    home = place.folder / NAME
    temporary = "".join(
        f"  {each}_temp_path {home}/temporary/{each};\n"
        for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""\
daemon off;
pid {home}/nginx.pid;
user {getpass.getuser()};
worker_processes 1;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
  access_log /dev/stdout;
{temporary}\
  server_tokens off;
  server {{
    listen {place.address(NAME)} ssl http2;
    ssl_certificate {place.certificate(NAME)};
    ssl_certificate_key {place.key(NAME)};
    ssl_protocols TLSv1.2 TLSv1.3;
    auth_basic "site";
    auth_basic_user_file {home}/passwords;
    location = /health {{ auth_basic off; return 200 "ok"; }}
    location / {{ return 404; }}
    location /apis/ {{
      proxy_pass https://{place.address("registry")};
      proxy_set_header Authorization "";
      proxy_ssl_trusted_certificate {place.authority};
      proxy_ssl_verify on;
      proxy_ssl_name localhost;
    }}
  }}
}}
"""


def password_line(user: str, password: str, salt: bytes) -> str:
    """A line of the password file: salted SHA-1, which every nginx reads. The password is random and long."""
    digest = hashlib.sha1(password.encode() + salt, usedforsecurity=False).digest()
    return f"{user}:{{SSHA}}{base64.b64encode(digest + salt).decode()}\n"


def check(place: Place) -> None:
    pass


def prepare(place: Place) -> None:
    home = place.home(NAME)
    (home / "temporary").mkdir(exist_ok=True, mode=0o700)
    place.write(NAME, "nginx.conf", configuration(place))
    place.write(NAME, "passwords", password_line(USER, place.secret(NAME), secrets.token_bytes(8)))


def program(place: Place) -> Program:
    home = place.folder / NAME
    command = (str(place.built(NAME)), "-p", f"{home}/", "-e", "stderr", "-c", f"{home}/nginx.conf")
    return Program(command=command, stop_signal="QUIT")  # lets requests under way finish


def answers(place: Place) -> None:
    ready(place)


def ready(place: Place) -> None:
    """It reaches the registry behind it."""
    token = base64.b64encode(f"{USER}:{place.secret(NAME)}".encode()).decode()
    expect_ok(ask(place, NAME, "/apis/ccompat/v7/subjects", headers={"authorization": f"Basic {token}"}))


def settle(place: Place) -> None:
    pass
