"""Small-footprint highway deep neural networks in Kaldi recipes (Lu, Guo, Renals, ICASSP 2017)."""

__version__ = "0.1.0"
