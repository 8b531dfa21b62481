"""What commands offer of Kaldi's files and of our own."""

#: forms of binary posteriors: Kaldi's, and that of compact_posteriors
FORMS = ("kaldi", "compact")
