"""The one exception that users are meant to see."""


class HdnnError(Exception):
    """Bad input or environment. The message is one line that names the file (and key) and the remedy."""
