"""Schemas by registry id: registering, checking, and decoding what was written with them."""
