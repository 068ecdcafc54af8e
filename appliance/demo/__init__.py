"""The guided run and its synthetic transformer fleet; the only reader of the truth file."""
