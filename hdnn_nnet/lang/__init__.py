"""Words and phones: dictionaries, lang directories, letter-to-sound, n-gram models."""
