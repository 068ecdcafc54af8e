"""Builds the third-party servers from their recipes. Standard library only: it runs before any environment exists."""
