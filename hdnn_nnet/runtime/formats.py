"""Transcripts as text, JSON, subtitles or CTM."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from hdnn_nnet.runtime.recogniser import Piece, Word

#: of a subtitle: characters, and seconds
_LINE, _LONGEST = 42, 6.0


def as_json(name: str, seconds: float, pieces: Sequence[Piece]) -> str:
    """One line: file, duration in seconds, text, and the pieces with their words."""
    listed = [
        {
            "start": round(piece.start, 3),
            "end": round(piece.end, 3),
            "text": " ".join(piece.words),
            "words": [
                {"word": word.text, "start": round(word.start, 3), "end": round(word.end, 3)}
                | ({} if word.confidence is None else {"confidence": round(word.confidence, 4)})
                for word in piece.timed
            ],
        }
        for piece in pieces
    ]
    text = " ".join(word for piece in pieces for word in piece.words)
    return json.dumps({"file": name, "duration": round(seconds, 3), "text": text, "pieces": listed}, ensure_ascii=False)


def as_ctm(name: str, pieces: Sequence[Piece]) -> str:
    """Lines `recording channel start duration word confidence`; the recording is the file's name without directory and suffix."""
    recording = "_".join(Path(name).stem.split()) if name != "-" else "stdin"
    return "\n".join(
        f"{recording} 1 {word.start:.3f} {word.end - word.start:.3f} {word.text}"
        + ("" if word.confidence is None else f" {word.confidence:.4f}")
        for piece in pieces
        for word in piece.timed
    )


def as_srt(pieces: Sequence[Piece]) -> str:
    """SubRip subtitles of at most two lines."""
    blocks = [block for piece in pieces for block in _blocks(piece.timed)]
    return "\n\n".join(
        f"{number}\n{_clock(words[0].start)} --> {_clock(words[-1].end)}\n{_wrapped([word.text for word in words])}"
        for number, words in enumerate(blocks, 1)
    )


def _blocks(words: Sequence[Word]) -> Iterator[list[Word]]:
    """Words that are shown together."""
    block: list[Word] = []
    for word in words:
        text = sum(len(w.text) + 1 for w in block) + len(word.text)
        if block and (text > 2 * _LINE or word.end - block[0].start > _LONGEST):
            yield block
            block = []
        block.append(word)
    if block:
        yield block


def _wrapped(words: Sequence[str]) -> str:
    """One line, or two of about the same length."""
    text = " ".join(words)
    if len(text) <= _LINE or len(words) < 2:
        return text
    cut = min(range(1, len(words)), key=lambda n: abs(len(" ".join(words[:n])) - len(" ".join(words[n:]))))
    return " ".join(words[:cut]) + "\n" + " ".join(words[cut:])


def _clock(seconds: float) -> str:
    """`01:02:03,456`."""
    milliseconds = round(seconds * 1000)
    hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02d}:{minutes:02d}:{rest // 1000:02d},{rest % 1000:03d}"
