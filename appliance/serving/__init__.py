"""Loads packaged, signed models and answers for them; never imports training."""
