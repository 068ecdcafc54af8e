"""A second, independent verifier: what an auditor runs who does not want to believe ours.

It shares no code with the rest of the appliance and needs the standard library and `cryptography` 38 or newer, which
is what Debian 12 carries. The formats and the names of the steps are those of docs/reference/trust_formats.md.
"""
