"""A Kaldi data directory as a corpus: wav.scp (files of any format, or pipes), perhaps segments, text, utt2spk."""

from collections.abc import Container, Iterator
from pathlib import Path

from hdnn_nnet.corpus.items import Item, LeftOut
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.audio import read_segments
from hdnn_nnet.feats.sound_file import files_of
from hdnn_nnet.kaldi.copies import read_originals
from hdnn_nnet.kaldi.script_table import read_scp


def from_kaldi(directory: Path, left_out: LeftOut | None = None) -> Iterator[Item]:
    """Utterances of a data directory; paths relative to it, or to the current directory, are made absolute.

    Args:
        left_out: counts utterances that one of the tables lacks; without it they are errors.

    Raises:
        HdnnError: a missing file, or an utterance that is not in all tables.
    """
    tables = {name: read_scp(directory / name) for name in ("wav.scp", "text", "utt2spk")}
    originals = read_originals(directory)
    segments = {segment.utterance: segment for segment in read_segments(directory)}
    segmented = (directory / "segments").is_file()
    needed: dict[str, Container[str]] = {"segments" if segmented else "wav.scp": segments}
    needed |= {name: tables[name] for name in ("text", "utt2spk")}
    for utterance in dict.fromkeys([*segments, *tables["text"], *tables["utt2spk"]]):
        where = f"{directory}, {utterance}"
        lacking = [name for name, table in needed.items() if utterance not in table]
        if lacking and left_out is None:
            raise HdnnError(f"{directory}/{lacking[0]} has no utterance {utterance}; run fix_data_dir.sh")
        if lacking and left_out is not None:
            left_out.add(f"utterance that is not in {lacking[0]}", where)
            continue
        segment = segments[utterance]
        yield Item(
            utterance,
            tables["utt2spk"][utterance],
            tables["text"][utterance],
            _absolute(tables["wav.scp"][segment.recording].strip(), directory),
            where,
            recording=segment.recording if segmented else "",
            start=segment.start if segmented else None,
            end=segment.end if segmented else None,
            channel=segment.channel,
            id=utterance,
            original=originals.get(utterance, ""),
        )


def _absolute(audio: str, directory: Path) -> str:
    """An entry of wav.scp, a file's (and its offset) with its whole path."""
    if audio.endswith("|"):
        return audio
    return str(next((p for p in (Path(audio), directory / audio) if files_of(str(p))), Path(audio)).resolve())
