"""Filters that write policies and AppRoles of OpenBao from what each role may read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any


def openbao_policy(entries: Iterable[str], mount: str, capabilities: Sequence[str] = ("read",)) -> str:
    """A policy that allows this of these entries of a KV engine, and nothing else."""
    allowed = ", ".join(f'"{each}"' for each in capabilities)
    return "".join(f'path "{mount}/data/{each}" {{ capabilities = [{allowed}] }}\n' for each in entries)


def openbao_policies(roles: Mapping[str, Sequence[str]], mount: str) -> dict[str, str]:
    """Role -> policy, of role -> entries."""
    return {role: openbao_policy(entries, mount) for role, entries in roles.items()}


def openbao_roles(names: Iterable[str], networks: Sequence[str], seconds: int) -> dict[str, dict[str, Any]]:
    """An AppRole for each name, with the policy of that name and no other, good from these networks alone."""
    return {
        name: {
            "token_policies": [name],
            "token_no_default_policy": True,
            "token_ttl": int(seconds),
            "token_max_ttl": int(seconds),
            "token_bound_cidrs": list(networks),
            "secret_id_bound_cidrs": list(networks),
        }
        for name in names
    }


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "openbao_policies": openbao_policies,
            "openbao_policy": openbao_policy,
            "openbao_roles": openbao_roles,
        }
