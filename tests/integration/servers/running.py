"""A site whose servers run, as tests meet it: the product's commands, and the stock clients' ways in."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
from pathlib import Path

from appliance.config.site import open_site
from appliance.deploy.servers import lifecycle, plan, postgresql
from appliance.deploy.servers.place import HOST, place_of
from appliance.secrets.settings import role_file
from tests.ports import free_ports
from tests.product import Product

ROOT = Path(__file__).parents[3]
PORTS = sum(len(server.ports) for server in plan.SERVERS)


class Servers:
    """A new site in a short path that PostgreSQL's user may enter."""

    def __init__(self, *settings):
        self.folder = Path(tempfile.mkdtemp(prefix="srv-"))
        self.folder.chmod(0o755)
        self.product = Product(self.folder / "site")
        ports = f"servers.first_port={free_ports(PORTS)}"
        self.product.do("site", "init", *(word for each in (ports, *settings) for word in ("--set", each)))
        self.place = place_of(open_site(self.product.folder))

    def up(self, *names, **options):
        return self.product.do("site", "up", *self._only(names), **options)

    def down(self, *names, **options):
        return self.product.do("site", "down", *self._only(names), **options)

    def status(self):
        """name -> its row. By the product's own function: a command for each look would take half a second."""
        found = lifecycle.status(place_of(open_site(self.product.folder)))
        return {each.name: dataclasses.asdict(each) for each in found}

    def kill(self, name):
        """End a server's process at once, and wait until its supervisor has started another one."""
        before = self.status()[name]["pid"]
        os.kill(before, signal.SIGKILL)
        end = time.monotonic() + 60
        while self.status()[name]["pid"] in (before, 0):
            assert time.monotonic() < end, f"{name} was not started again"
            time.sleep(0.2)

    def ready(self, name):
        """Whether a server does its work."""
        return self.status()[name]["state"] == "running"

    def remove(self):
        self.product.run("site", "down")
        shutil.rmtree(self.folder)

    def secret(self, name):
        return self.place.secret_file(name).read_text()

    def data(self):
        """Settings ``storage.*`` of a site that has its data on MinIO and PostgreSQL; what the catalog had is gone."""
        with postgresql.connect(self.place, database="lake") as connection:
            connection.execute("DROP OWNED BY lake")
        return {
            "store": self.place.address("minio"),
            "store_secret_file": str(self.place.secret_file("minio-site")),
            "store_ca_file": str(self.place.authority),
            "catalog": f"postgresql://lake@{self.place.address('postgresql')}/lake",
            "catalog_password_file": str(self.place.secret_file("postgresql-lake")),
            "catalog_ca_file": str(self.place.authority),
        }

    def openbao(self, role):
        """Settings of a site that has this role; each of its files is named, and none of them is a password's."""
        return {
            "openbao": f"https://{self.place.address('openbao')}",
            "ca_file": str(self.place.authority),
            "role_id_file": str(self.place.secret_file(role_file(role, "role"))),
            "secret_id_file": str(self.place.secret_file(role_file(role, "secret"))),
        }

    @contextlib.contextmanager
    def without_secrets(self, *patterns):
        """These files of passwords are gone meanwhile, and nobody makes them anew."""
        hidden = self.folder / "hidden"
        hidden.mkdir()
        moved = [path for each in patterns for path in (self.place.folder / "secrets").glob(each)]
        assert len(moved) >= len(patterns)
        for path in moved:
            path.rename(hidden / path.name)
        try:
            yield
        finally:
            made = [path for path in moved if path.exists()]
            for path in moved:
                (hidden / path.name).rename(path)
            hidden.rmdir()
        assert made == []

    def trusting(self, *, certificate=None):
        """A TLS context of the standard library that trusts this site alone."""
        context = ssl.create_default_context(cafile=str(self.place.authority))
        if certificate is not None:
            context.load_cert_chain(self.place.certificate(certificate), self.place.key(certificate))
        return context

    def mc(self, *words, password=None, trusted=True, stdin=b""):
        """The stock client of MinIO; gives the ended process."""
        settings = self.folder / ("mc" if trusted else "mc-untrusting")
        (settings / "certs" / "CAs").mkdir(parents=True, exist_ok=True)
        if trusted:
            shutil.copy(self.place.authority, settings / "certs" / "CAs" / "ca.crt")
        login = f"appliance:{password or self.secret('minio')}"
        environment = {"MC_HOST_site": f"https://{login}@{self.place.address('minio')}", "HOME": str(self.folder)}
        return subprocess.run(
            [self.place.built("mc"), "--config-dir", settings, "--json", *words],
            env=environment, input=stdin, capture_output=True, timeout=60,
        )  # fmt: skip

    def psql(self, query, *, mode="verify-full", authority=None, password=None, user="appliance"):
        """The stock client of PostgreSQL; gives the ended process."""
        target = f"host={HOST} port={self.place.port('postgresql')} user={user} dbname=postgres sslmode={mode}"
        target += f" sslrootcert={authority or self.place.authority}"
        environment = {**os.environ, "PGPASSWORD": password or self.secret("postgresql"), "PGCONNECT_TIMEOUT": "3"}
        words = ["psql", "--no-psqlrc", "--tuples-only", "--no-align", "--command", query, target]
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=30)

    def _only(self, names):
        return ("--only", ",".join(names)) if names else ()
