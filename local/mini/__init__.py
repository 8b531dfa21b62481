"""The mini corpus: synthesised meetings in the AMI corpus' own layout (see docs/mini-corpus.md)."""
