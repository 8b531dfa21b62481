"""Forced alignment, by a GMM or a network."""
