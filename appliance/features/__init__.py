"""Features: declared views, one expression for batch and online, point-in-time by event time and arrival time."""
