"""Connectors: pull from other systems into the spool, from which everything downstream is exactly-once."""
