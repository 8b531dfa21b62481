"""`python3 -m hdnn_nnet` is the command `hdnn`."""

from hdnn_nnet.cli import main

main()
