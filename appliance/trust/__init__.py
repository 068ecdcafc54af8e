"""Keys, certificates, transparency log, signed statements and their verification. Owns all cryptography."""
