"""Kaldi lattices: types, files, operations."""
