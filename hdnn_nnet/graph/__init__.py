"""Decoding graphs."""
