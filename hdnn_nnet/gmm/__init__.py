"""Monophone GMM that supplies alignments where Kaldi is absent."""
