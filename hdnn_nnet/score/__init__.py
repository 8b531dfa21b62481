"""Scoring: from lattices to word error rates."""
