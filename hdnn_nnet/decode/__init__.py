"""Graph search and lattices."""
