#!/usr/bin/python
"""Installs Debian packages from the verified bundle's own repository with the host's apt.

Why not ``ansible.builtin.apt``: it needs a package that a bare Debian lacks, and asks every source that the host has.

Rules
1. Only the bundle's repository is asked, whatever other sources stand on the host.
2. A package is current when the host has the version of the bundle, or a later one. Then apt is not started. What
   every Debian has, a bundle has in a newer version or not at all.
3. Check mode tells what apt would do, with lists of its own: nothing on the host changes, and the source need not be
   set up yet.
4. Nothing is removed but what `may_remove` names.
5. It goes on where an installation was killed.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils import verified_bundle
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: bundle_packages
short_description: Installs Debian packages from the verified bundle
description:
  - Installs the named packages and what they need, without recommended ones.
options:
  bundle: {description: Folder of the bundle on the host., type: path, required: true}
  manifest_digest: {description: Digest of its manifest., type: str, required: true}
  names: {description: Packages., type: list, elements: str, required: true}
  may_remove: {description: Packages that may have to go for them., type: list, elements: str, default: []}
"""
ARGUMENTS: dict[str, Any] = {
    "bundle": {"type": "path", "required": True},
    "manifest_digest": {"type": "str", "required": True},
    "names": {"type": "list", "elements": "str", "required": True},
    "may_remove": {"type": "list", "elements": "str", "default": []},
}
PACKAGES = "apt/dists/appliance/main/binary-amd64/Packages"
ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", "APT_LISTCHANGES_FRONTEND": "none"}
_STEP = re.compile(r"^(Inst|Remv) (\S+)(?: \[([^\]]+)\])?(?: \((\S+))?", re.MULTILINE)


def versions_of(packages: str) -> dict[str, str]:
    """Name -> version of an apt list."""
    stanzas = (re.findall(r"^(Package|Version): (.+)$", each, re.MULTILINE) for each in packages.split("\n\n"))
    return {fields["Package"]: fields["Version"] for fields in map(dict, stanzas) if fields}


def steps_of(simulated: str) -> tuple[dict[str, str], list[str]]:
    """What apt said it would do: name -> "old -> new" of what comes, and names of what goes."""
    comes, goes = {}, []
    for verb, name, old, new in _STEP.findall(simulated):
        if verb == "Inst":
            comes[name] = f"{old or 'absent'} -> {new}"
        else:
            goes.append(name)
    return comes, sorted(goes)


def options(source: Path, lists: Path) -> list[str]:
    told: Mapping[str, object] = {
        "Dir::Etc::SourceList": source,
        "Dir::Etc::SourceParts": "-",
        "Dir::State::Lists": lists,
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "APT::Sandbox::User": "root",  # the lists lie in a folder of root's alone; nothing comes from a network
        "APT::Install-Recommends": "false",
        "Dpkg::Use-Pty": "0",
        "Dpkg::Options::": "--force-confold",
        "DPkg::Lock::Timeout": 120,
    }
    return [word for key, value in told.items() for word in ("-o", f"{key}={value}")]


def source_of(bundle: Path) -> str:
    """What `bundle_repo` writes for the host's own apt says the same; this one is for one run."""
    return (
        f"Types: deb\nURIs: file:{bundle}/apt\nSuites: appliance\nComponents: main\nArchitectures: amd64\n"
        f"Signed-By: {bundle}/apt/appliance.gpg\nCheck-Date: no\n"
    )


def main() -> None:
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    told = module.params
    try:
        bundle = verified_bundle.load(Path(told["bundle"]), told["manifest_digest"])
        offered = versions_of(bundle.read(PACKAGES).decode())
    except verified_bundle.BundleError as error:
        module.fail_json(msg=str(error))
    host = {name: _installed(module, name) for name in told["names"]}
    missing = [name for name in told["names"] if name not in offered and not host[name]]
    if missing:
        module.fail_json(msg=f"neither the host nor the bundle {bundle.bundle} has the package {', '.join(missing)}")
    wanted = [name for name in told["names"] if name in offered and not _is_current(module, host[name], offered[name])]
    if not wanted:
        module.exit_json(changed=False)
    with tempfile.TemporaryDirectory(prefix="appliance-apt-") as scratch:
        comes, goes = _install(module, bundle.folder, wanted, Path(scratch))
    lines = [f"{name} {change}" for name, change in sorted(comes.items())] + [f"{name} goes" for name in goes]
    module.exit_json(changed=True, diff={"before": "", "after": "".join(f"{each}\n" for each in lines)})


def _installed(module: AnsibleModule, name: str) -> str:
    """The version that the host has; empty when it has none."""
    rc, out, _ = module.run_command(["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", name])
    status, _, version = out.partition(" ")
    return version if rc == 0 and status == "installed" else ""


def _is_current(module: AnsibleModule, found: str, offered: str) -> bool:
    return bool(found) and module.run_command(["dpkg", "--compare-versions", found, "ge", offered])[0] == 0


def _install(module: AnsibleModule, bundle: Path, names: list[str], scratch: Path) -> tuple[dict[str, str], list[str]]:
    source = scratch / "appliance.sources"
    source.write_text(source_of(bundle))
    lists = scratch / "lists"
    (lists / "partial").mkdir(parents=True)
    apt = ["apt-get", "-q", *options(source, lists)]

    def run(*words: str) -> str:
        return str(module.run_command([*apt, *words], check_rc=True, environ_update=ENVIRONMENT)[1])

    run("update")
    comes, goes = steps_of(run("--simulate", "install", *names))
    refused = sorted(set(goes) - set(module.params["may_remove"]))
    if refused:
        module.fail_json(msg=f"apt would remove {', '.join(refused)} for {', '.join(names)}; remove them first")
    if not module.check_mode:
        # An installation that was killed leaves packages unpacked; apt refuses to go on before they are set up.
        module.run_command(["dpkg", "--force-confold", "--configure", "-a"], environ_update=ENVIRONMENT)
        run("--yes", "install", *names)
    return comes, goes


if __name__ == "__main__":
    main()
