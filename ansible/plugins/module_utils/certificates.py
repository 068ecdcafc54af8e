"""Certificates of the services of a host, from OpenBao's PKI engine: asked for, held against their authority, renewed.

It is the program of ``appliance-certificates.service`` as well: ``python3 -Es certificates.py SETTINGS`` renews what is
due, and lets a service whose certificate changed read it.

Rules
1. Nothing is issued anew while what is there stands: from the authority, for these names, its key beside it, and before
   two thirds of its life.
2. Key and certificate are each written as a whole. Between the two a power cut leaves a pair that does not fit, which
   the next run makes anew.
3. The service is told after both are there, by SIGHUP: it keeps its connections.
4. It runs with the host's own Python, its standard library, and openssl.
"""

from __future__ import annotations

import datetime as dt
import grp
import ipaddress
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

try:
    from ansible.module_utils.openbao_api import OpenBao, OpenBaoError, keep
except ImportError:  # as a program, beside it
    from openbao_api import OpenBao, OpenBaoError, keep  # type: ignore[import-not-found,no-redef]

CERTIFICATE, KEY = "certificate.pem", "key.pem"
_ENGLISH = {"LC_ALL": "C", "PATH": os.environ.get("PATH", "/usr/bin:/bin")}


@dataclass(frozen=True)
class Wanted:
    """What a service wants. `unit` is told of a new one; `group` may read it."""

    service: str
    path: Path
    group: str
    unit: str
    names: tuple[str, ...]
    addresses: tuple[str, ...]

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Wanted:
        return cls(
            service=told["service"],
            path=Path(told["path"]),
            group=told["group"],
            unit=told["unit"],
            names=tuple(sorted(told["names"])),
            addresses=tuple(sorted(str(ipaddress.ip_address(each)) for each in told["addresses"])),
        )


@dataclass(frozen=True)
class Certificate:
    """What a certificate says of itself."""

    begins: dt.datetime
    ends: dt.datetime
    names: tuple[str, ...]
    addresses: tuple[str, ...]

    def renewed_from(self) -> dt.datetime:
        """Two thirds of its life."""
        return self.begins + (self.ends - self.begins) * 2 / 3

    def days_left(self, now: dt.datetime) -> int:
        return (self.ends - now).days


@dataclass(frozen=True)
class Issuer:
    """The PKI engine, and where its certificate is on this host."""

    server: OpenBao
    login: Path
    mount: str
    role: str
    authority: Path
    hours: int

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Issuer:
        authority = Path(told["authority"])
        return cls(
            server=OpenBao(told["address"], [Path(told["bootstrap"]), authority]),
            login=Path(told["login"]),
            mount=told["mount"],
            role=told["role"],
            authority=authority,
            hours=int(told["hours"]),
        )

    def authority_text(self) -> str:
        """Raises OpenBaoError: it has none."""
        text = self.server.text(f"{self.mount}/ca/pem").strip()
        if "BEGIN CERTIFICATE" not in text:
            raise OpenBaoError(f"the engine {self.mount} has no authority; run the role openbao")
        return text + "\n"

    def issue(self, wanted: Wanted) -> None:
        """Raises OpenBaoError."""
        server = self.server.required_login(self.login)
        names = [each for each in wanted.names if each != wanted.service]
        asked = {"common_name": wanted.service, "alt_names": ",".join(names), "ip_sans": ",".join(wanted.addresses)}
        made = server.put(
            f"{self.mount}/issue/{self.role}", {**asked, "ttl": f"{self.hours}h", "private_key_format": "pkcs8"}
        )["data"]
        server.put("auth/token/revoke-self")
        group = group_number(wanted.group)
        make_folder(wanted.path, group)
        keep(wanted.path / KEY, made["private_key"].strip().encode() + b"\n", mode=0o640, group=group)
        keep(wanted.path / CERTIFICATE, made["certificate"].strip().encode() + b"\n", mode=0o640, group=group)


def read(path: Path) -> Certificate | None:
    """None: it cannot be read."""
    words = ["openssl", "x509", "-noout", "-dates", "-dateopt", "iso_8601", "-ext", "subjectAltName", "-in", str(path)]
    done = _run(words)
    found = dict(re.findall(r"^(notBefore|notAfter)=(.+)$", done.stdout, re.MULTILINE))
    if done.returncode or len(found) != 2:
        return None
    begins, ends = (dt.datetime.fromisoformat(found[each].strip()) for each in ("notBefore", "notAfter"))
    addresses = re.findall(r"IP Address:([0-9A-Fa-f.:]+)", done.stdout)
    return Certificate(
        begins=begins,
        ends=ends,
        names=tuple(sorted(re.findall(r"DNS:([^,\s]+)", done.stdout))),
        addresses=tuple(sorted(str(ipaddress.ip_address(each)) for each in addresses)),
    )


def stands(folder: Path, authority: Path) -> bool:
    """Whether the certificate in the folder is from the authority, for now, and its key is beside it."""
    certificate, key = folder / CERTIFICATE, folder / KEY
    if not (certificate.exists() and key.exists() and authority.exists()):
        return False
    words = ["openssl", "verify", "-no-CApath", "-no-CAstore", "-CAfile", str(authority), str(certificate)]
    if _run(words).returncode:
        return False
    public = _run(["openssl", "pkey", "-pubout", "-in", str(key)])
    return (
        public.returncode == 0
        and public.stdout == _run(["openssl", "x509", "-noout", "-pubkey", "-in", str(certificate)]).stdout
    )


def why_due(wanted: Wanted, authority: Path, now: dt.datetime) -> str:
    """Why it is to be issued; empty: it stands."""
    if not stands(wanted.path, authority):
        return "there is none from the authority that fits its key"
    found = read(wanted.path / CERTIFICATE)
    if found is None:
        return "it cannot be read"
    if (found.names, found.addresses) != (tuple(sorted({wanted.service, *wanted.names})), wanted.addresses):
        return f"it is for {', '.join(found.names + found.addresses)}"
    return "two thirds of its life are over" if now >= found.renewed_from() else ""


def renew(
    issuer: Issuer, wants: Sequence[Wanted], now: dt.datetime, *, tell: Callable[[str], None] | None = None
) -> dict[str, str]:
    """Issue what is due; gives service -> why. `tell` gets the unit of each. Raises OpenBaoError."""
    due = {}
    for each in wants:
        why = why_due(each, issuer.authority, now)
        if why:
            issuer.issue(each)
            due[each.service] = why
            (tell or reload)(each.unit)
    return due


def reload(unit: str) -> None:
    """Let the unit read its certificate, where it runs."""
    if _run(["systemctl", "is-active", "--quiet", unit]).returncode == 0:
        _run(["systemctl", "kill", "--signal=HUP", "--kill-who=main", unit])


def make_folder(path: Path, group: int) -> None:
    path.mkdir(parents=True, exist_ok=True, mode=0o750)
    os.chown(path, -1, group)
    path.chmod(0o750)


def group_number(name: str) -> int:
    return grp.getgrnam(name).gr_gid


def _run(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60, env=_ENGLISH)


def main(settings: Path) -> int:
    issuer = Issuer.of(json.loads(settings.read_text()))
    wants = [Wanted.of(json.loads(each.read_text())) for each in sorted((settings.parent / "services").glob("*.json"))]
    try:
        for service, why in renew(issuer, wants, dt.datetime.now(dt.UTC)).items():
            sys.stdout.write(f"issued for {service}: {why}\n")
    except OpenBaoError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
