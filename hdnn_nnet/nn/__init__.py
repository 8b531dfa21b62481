"""Acoustic model networks."""
