"""Training: recipes, pinned data, jobs in their own environment, honest evaluation, reproducible packages."""
