"""A synthetic fleet of substation transformers with planted faults."""
