from tests.bare_debian import bare_debian

__all__ = ["bare_debian"]
