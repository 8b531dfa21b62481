"""Recordings and transcripts of any kind as Kaldi data directories."""
