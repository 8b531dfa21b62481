"""Forward-backward over batches of lattices: one interface, two engines."""
