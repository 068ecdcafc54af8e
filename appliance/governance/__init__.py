"""Roles, audit records, lineage, the model registry and approvals: who did what, on what, and who allowed it."""
