"""Passwords and keys that other systems gave us: where each one is, and reading it when it is needed."""
