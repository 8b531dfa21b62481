"""GMM systems where Kaldi is absent: monophones, trees, triphones, and transforms of their features."""
