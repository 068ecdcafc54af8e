"""Audit, roles, lineage, registry and approvals."""
