"""Command-line programs; each mirrors one Kaldi program's calling convention."""
