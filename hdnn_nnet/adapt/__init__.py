"""Adaptation of a network to speakers: what moves, on which labels, where it is kept, and how decoding uses it."""
