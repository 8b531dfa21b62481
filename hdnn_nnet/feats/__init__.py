"""Feature extraction and the feature pipeline (CMVN, deltas)."""
