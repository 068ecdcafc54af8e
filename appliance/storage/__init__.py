"""Bytes by digest and tables by snapshot; knows nothing of what they mean."""
