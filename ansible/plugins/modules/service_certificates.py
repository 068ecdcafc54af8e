#!/usr/bin/python
"""Issues the certificate of one service where it is due, and the authority's own to this host (`certificates`)."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from ansible.module_utils import certificates
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.openbao_api import OpenBaoError, keep

DOCUMENTATION = r"""
module: service_certificates
short_description: Certificates of services from OpenBao
description:
  - Gives `found`, what each certificate is for and how many days are left.
options:
  issuer: {description: "Settings of the program, as in renewal.json.", type: dict, required: true}
  services: {description: "Services, each as in its file below services/.", type: list, elements: dict, required: true}
"""
ARGUMENTS: dict[str, Any] = {
    "issuer": {"type": "dict", "required": True},
    "services": {"type": "list", "elements": "dict", "required": True},
}


def main() -> None:
    module = AnsibleModule(ARGUMENTS, supports_check_mode=True)
    issuer = certificates.Issuer.of(module.params["issuer"])
    wants = [certificates.Wanted.of(each) for each in module.params["services"]]
    if module.check_mode and not issuer.server.is_up():
        module.exit_json(changed=True, found=[])
    now = dt.datetime.now(dt.UTC)
    try:
        text = issuer.authority_text()
        old = issuer.authority.read_text() if issuer.authority.exists() else ""
        if text != old and not module.check_mode:
            keep(issuer.authority, text.encode(), mode=0o644)
        if module.check_mode:
            due = {each.service: why for each in wants if (why := certificates.why_due(each, issuer.authority, now))}
        else:
            due = certificates.renew(issuer, wants, now)
    except OpenBaoError as error:
        module.fail_json(msg=str(error))
    found = [_told(each, now) for each in wants]
    lines = "".join(f"{service}: {why}\n" for service, why in due.items())
    changed = bool(due) or text != old
    module.exit_json(changed=changed, due=due, found=found, diff={"before": "", "after": lines})


def _told(wanted: certificates.Wanted, now: dt.datetime) -> dict[str, Any]:
    path = Path(wanted.path) / certificates.CERTIFICATE
    found = certificates.read(path) if path.exists() else None
    if found is None:
        return {"service": wanted.service, "days_left": -1}
    return {
        "service": wanted.service,
        "names": [*found.names, *found.addresses],
        "days_left": found.days_left(now),
    }


if __name__ == "__main__":
    main()
