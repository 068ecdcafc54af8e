"""Settings and declarations: strict, declared once, read in one place."""
