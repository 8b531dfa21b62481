"""A Kaldi data directory as a corpus: wav.scp (files of any format, or pipes), perhaps segments, text, utt2spk."""

from collections.abc import Iterator
from pathlib import Path

from hdnn_nnet.corpus.items import Item
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.audio import read_segments
from hdnn_nnet.kaldi.copies import read_originals
from hdnn_nnet.kaldi.script_table import read_scp


def from_kaldi(directory: Path) -> Iterator[Item]:
    """Utterances of a data directory; paths relative to it, or to the current directory, are made absolute.

    Raises:
        HdnnError: a missing file, or an utterance that is not in text or utt2spk.
    """
    tables = {name: read_scp(directory / name) for name in ("wav.scp", "text", "utt2spk")}
    originals = read_originals(directory)
    segmented = (directory / "segments").is_file()
    for segment in read_segments(directory):
        for name in ("text", "utt2spk"):
            if segment.utterance not in tables[name]:
                raise HdnnError(f"{directory}/{name} has no utterance {segment.utterance}; run fix_data_dir.sh")
        audio = tables["wav.scp"][segment.recording].strip()
        if not audio.endswith("|"):
            audio = str(next((p for p in (Path(audio), directory / audio) if p.is_file()), Path(audio)).resolve())
        yield Item(
            segment.utterance,
            tables["utt2spk"][segment.utterance],
            tables["text"][segment.utterance],
            audio,
            f"{directory}, {segment.utterance}",
            recording=segment.recording if segmented else "",
            start=segment.start if segmented else None,
            end=segment.end if segmented else None,
            channel=segment.channel,
            id=segment.utterance,
            original=originals.get(segment.utterance, ""),
        )
