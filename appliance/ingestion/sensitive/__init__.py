"""Sensitive data: found, tagged, sealed at first touch, masked, readable by policy, erasable."""
