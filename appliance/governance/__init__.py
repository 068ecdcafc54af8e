"""Who did what, on what it rests, and who agreed."""
