"""``appliance trust``: the signing ceremony, the state of keys and log, and what an auditor takes along."""

from __future__ import annotations

from pathlib import Path

import click

from appliance.base.clock import rfc3339
from appliance.base.errors import EXIT_VERIFICATION
from appliance.cli.command import Call, Result, command, noun


@command(
    "trust",
    "init",
    changes="trust.init",
    roles=("operator",),
    needs_site=False,
    example="appliance trust init --site ./site",
)
def init(call: Call) -> Result:
    """Hold the signing ceremony of a site that has a site file and no trust folder.

    Makes role keys that are missing, the certificates and an empty log, whose first record is this. A new site does not
    need it: site init holds the ceremony itself.
    """
    from appliance.trust.ceremony import init_trust

    site, keys = call.site, call.parts.keys
    if not site.trust.exists():
        keys.create_all()
    enclave = init_trust(site.trust, site.settings.site.name, call.clock, keys.publics())
    intent = call.parts.audit.begin(role=call.role, action="trust.init", arguments={})
    call.parts.audit.end(intent, outcome="done", detail="")
    key = enclave.log().key.text()
    return Result(
        data={"folder": str(site.trust), "log_key": key},
        text=f"Trust stands in {site.trust}\nLog key (write it down, auditors compare it): {key}",
    )


@command("trust", "status", example="appliance trust status --json")
def status(call: Call) -> Result:
    """Recompute the whole log from its files, and show keys and certificates."""
    enclave, log = call.parts.enclave, call.parts.log
    check = log.fsck()
    lifetimes = {
        name: {"from": rfc3339(each.not_valid_before_utc), "until": rfc3339(each.not_valid_after_utc)}
        for name, each in (("issuing", enclave.authority), ("timestamp", enclave.timestamper))
    }
    roles = {role: call.parts.keys.key_id(role) for role in call.parts.keys.publics()}
    bad = [{"file": str(log.folder / file.path), "reason": file.reason} for file in check.bad]
    lines = [
        f"log {log.key.origin}: {check.size} entries, {len(check.files)} files",
        f"root {check.root.hex()}",
        f"log key {log.key.text()}",
        *(f"{name} certificate until {each['until']}" for name, each in lifetimes.items()),
        *(f"{role:<15} {key_id}" for role, key_id in roles.items()),
        *(f"BAD {each['file']}: {each['reason']}" for each in bad),
    ]
    data = {
        "ok": check.ok,
        "origin": log.key.origin,
        "log_key": log.key.text(),
        "size": check.size,
        "root": check.root.hex(),
        "bad": bad,
        "certificates": lifetimes,
        "roles": roles,
    }
    return Result(data=data, text="\n".join(lines), exit_code=0 if check.ok else EXIT_VERIFICATION)


@command(
    "trust",
    "export",
    changes="trust.export",
    roles=("operator", "auditor"),
    example="appliance trust export ./for-the-auditor --site ./site",
)
@click.argument("target", type=click.Path(path_type=Path))
def export(call: Call, target: Path) -> Result:
    """Copy trust config, certificates, signed statements and log to the new folder TARGET; no private key.

    With it and the stock sigstore program an auditor verifies statements on a machine without network.
    """
    from appliance.trust.export import export_trust

    check = export_trust(call.parts.anchor, target.absolute())
    return Result(
        data={"folder": str(target), "size": check.size, "root": check.root.hex()},
        text=f"{check.size} log entries and their statements are in {target}\nroot {check.root.hex()}",
    )


group = noun("trust", "Signing ceremony, trust config and log.", [init, status, export])
