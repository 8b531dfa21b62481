"""The one exception that users are meant to see."""

_LONGEST = 1000


class HdnnError(Exception):
    """Bad input or environment. The message is one line that names the file (and key) and the remedy.

    What a damaged file brings into a message, such as a thousand NULs, is cut in its middle.
    """

    def __init__(self, message: object = "") -> None:
        text = " ".join(str(message).splitlines())
        if len(text) > _LONGEST:
            text = f"{text[: _LONGEST // 2]} ... {text[-(_LONGEST // 3) :]}"
        super().__init__(text)


class EmptyLatticeError(HdnnError):
    """A lattice without a path to a final state: its utterance counts as not decoded, the others go on."""
