"""The demonstration: a synthetic transformer fleet, its declarations, and the guided run."""
