"""Which search the steps take here, where a test is not about one of them."""

from importlib.util import find_spec

#: for --decoder: that of an installation without Kaldi
OWN_DECODER = "k2" if find_spec("k2") else "numpy"
