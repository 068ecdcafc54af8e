#!/usr/bin/python
"""The certificate that OpenBao begins with, from an authority on the host: its own authority is inside of it.

Rules
1. The authority is made once. Its key is root's and stays: when OpenBao's key or certificate is lost, nobody else
   could give it one.
2. A certificate that stands is left alone, whichever of the two authorities it is from.
3. Only what works as root on this host believes this authority; clients of the services do not.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.certificates import CERTIFICATE, KEY, group_number, make_folder, stands
from ansible.module_utils.openbao_api import keep

DOCUMENTATION = r"""
module: bootstrap_certificate
short_description: Makes the first certificate of OpenBao
options:
  authority: {description: "Folder with bootstrap.pem, bootstrap.key and authority.pem.", type: path, required: true}
  path: {description: Folder for the certificate and its key., type: path, required: true}
  group: {description: Group that may read them., type: str, required: true}
  common_name: {description: Common name., type: str, required: true}
  names: {description: Names of the host., type: list, elements: str, required: true}
  addresses: {description: Addresses of the host., type: list, elements: str, required: true}
  days: {description: How long it stands., type: int, default: 30}
"""
ARGUMENTS = {
    "authority": {"type": "path", "required": True},
    "path": {"type": "path", "required": True},
    "group": {"type": "str", "required": True},
    "common_name": {"type": "str", "required": True},
    "names": {"type": "list", "elements": "str", "required": True},
    "addresses": {"type": "list", "elements": "str", "required": True},
    "days": {"type": "int", "default": 30},
}
AUTHORITY_DAYS = 3650
SETTINGS = """\
[req]
distinguished_name = name
prompt = no
[name]
CN = {common_name}
[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[service]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = {alternatives}
"""


def settings(common_name: str, names: list[str], addresses: list[str]) -> str:
    words = [f"DNS:{each}" for each in names] + [f"IP:{each}" for each in addresses]
    return SETTINGS.format(common_name=common_name, alternatives=", ".join(words) or "DNS:localhost")


def _make(module: AnsibleModule, section: str, text: str, days: int, *signed_by: str) -> tuple[bytes, bytes]:
    """Certificate and key."""
    with tempfile.TemporaryDirectory(dir="/run") as scratch:  # in memory, root's alone
        place = Path(scratch)
        (place / "settings").write_text(text)
        words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"]
        words += ["-config", str(place / "settings"), "-extensions", section, "-days", str(days), *signed_by]
        module.run_command([*words, "-keyout", str(place / "key"), "-out", str(place / "out")], check_rc=True)
        return (place / "out").read_bytes(), (place / "key").read_bytes()


def main() -> None:
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    told = module.params
    folder, path = Path(told["authority"]), Path(told["path"])
    authority, key = folder / "bootstrap.pem", folder / "bootstrap.key"
    changed = []
    if not (authority.exists() and key.exists()):
        changed.append("authority")
        if not module.check_mode:
            made = _make(module, "authority", settings("appliance bootstrap", [], []), AUTHORITY_DAYS)
            keep(key, made[1])
            keep(authority, made[0], mode=0o644)
    trusted = [authority, folder / "authority.pem"]
    if changed or not any(stands(path, each) for each in trusted):
        changed.append("certificate")
        if not module.check_mode:
            text = settings(told["common_name"], told["names"], told["addresses"])
            signed_by = ("-CA", str(authority), "-CAkey", str(key))
            certificate, own = _make(module, "service", text, told["days"], *signed_by)
            group = group_number(told["group"])
            make_folder(path, group)
            keep(path / KEY, own, mode=0o640, group=group)
            keep(path / CERTIFICATE, certificate, mode=0o640, group=group)
    module.exit_json(changed=bool(changed), made=changed)


if __name__ == "__main__":
    main()
