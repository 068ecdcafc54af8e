"""Builds the parts of a site, each once and only when it is asked for.

A command asks for what it needs (``parts.audit``, ``parts.lake``) and imports no more than that: the heavy libraries
are behind the parts that use them. Everything else in the product receives its parts as arguments.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from appliance.base.clock import Clock
from appliance.config.site import Site

if TYPE_CHECKING:
    from appliance.governance.audit import Audit
    from appliance.governance.roles import RoleKeys
    from appliance.trust.ceremony import Enclave
    from appliance.trust.signer import Signer
    from appliance.trust.tlog import TransparencyLog


@dataclass(kw_only=True)
class Parts:
    """The embedded profile of one site."""

    site: Site
    clock: Clock

    @cached_property
    def keys(self) -> RoleKeys:
        from appliance.governance.roles import RoleKeys

        return RoleKeys(self.site.keys)

    @cached_property
    def enclave(self) -> Enclave:
        from appliance.trust.ceremony import open_enclave

        return open_enclave(self.site.trust)

    @cached_property
    def log(self) -> TransparencyLog:
        return self.enclave.log()

    @cached_property
    def audit(self) -> Audit:
        from appliance.governance.audit import Audit

        return Audit(self.log, self.keys, self.clock)

    @cached_property
    def signer(self) -> Signer:
        from appliance.trust.signer import Signer

        return Signer(self.enclave, self.log, self.keys, self.clock)
