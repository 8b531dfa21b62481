"""Kaldi file formats, read and written without Kaldi."""
