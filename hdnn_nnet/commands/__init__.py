"""Subcommands of `hdnn`: each states its options, calls into the library, and prints.

A module has a docstring (its `--help`), `Options`, `EXAMPLE` and `main(options)`; `WRITES` names the options with directories
that only one run at a time may write (`prefix`: files that begin so). What is heavy to import is imported in `main`, so that
`--help` and a wrong option are answered at once.
"""
