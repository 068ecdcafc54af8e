"""Speed against peers: a ratio on the same data in the same run, never a time. See `python -m benchmarks --help`."""
