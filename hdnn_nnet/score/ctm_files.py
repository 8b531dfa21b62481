"""Words of a decode directory with their times, as CTM files."""

import logging
from pathlib import Path

import numpy as np

from hdnn_nnet.atomic import write_text
from hdnn_nnet.errors import EmptyLatticeError, HdnnError
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.kaldi.symbols import SymbolTable
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.lattice.best_path import best_paths, path_alignment
from hdnn_nnet.lattice.directory import read_directory
from hdnn_nnet.score.ctm import phone_segments, read_word_boundary, spread, word_segments
from hdnn_nnet.score.options import CtmOptions
from hdnn_nnet.score.sweep import combinations
from hdnn_nnet.text import to_float, words

log = logging.getLogger(__name__)


class Places:
    """Where utterances lie: file, channel and start in seconds, from `segments` and `reco2file_and_channel`."""

    def __init__(self, data: Path) -> None:
        self.segments = read_scp(data / "segments") if (data / "segments").exists() else {}
        path = data / "reco2file_and_channel"
        self.channels = read_scp(path) if path.exists() else {}
        self.data = data

    def __call__(self, utterance: str) -> tuple[str, str, float]:
        """(file, channel, start). Without `segments` an utterance is a recording; the channel is then 1."""
        recording, start = utterance, 0.0
        if self.segments:
            if utterance not in self.segments:
                raise HdnnError(f"{self.data}/segments has no utterance {utterance}; run fix_data_dir.sh")
            fields = words(self.segments[utterance])
            try:
                recording, start = fields[0], to_float(fields[1])
            except (IndexError, ValueError) as error:
                raise HdnnError(f"{self.data}/segments: utterance {utterance}: expected recording and start") from error
        if recording not in self.channels:
            return recording, "1", start
        fields = words(self.channels[recording])
        if len(fields) != 2:
            raise HdnnError(f"{self.data}/reco2file_and_channel: recording {recording}: expected file and channel")
        return fields[0], fields[1], start


def write_ctm_files(options: CtmOptions) -> None:
    """Write `ascore_N/NAME.ctm` for each LM weight N, lines `file channel start duration word` in order of time."""
    wanted = combinations(options.min_lmwt, options.max_lmwt, [str(options.word_ins_penalty)])
    lang, data = Path(options.lang), Path(options.data)
    symbols, places = SymbolTable.read(lang / "words.txt"), Places(data)
    boundary = read_word_boundary(lang / "phones" / "word_boundary.int")
    model = TransitionModel.read(options.model)
    rows: list[list[tuple[str, str, float, float, str]]] = [[] for _ in wanted]
    scales = np.array([1.0 / weight for weight, _ in wanted])
    penalties = np.full(len(wanted), options.word_ins_penalty)
    utterances = unmatched = empty = 0
    for key, lattice in read_directory(options.directory):
        try:
            paths = best_paths(lattice, scales, penalties, key)
        except EmptyLatticeError as error:
            log.warning("%s", error)
            empty += 1
            continue
        utterances += 1
        file, channel, start = places(key)
        for number, path in enumerate(paths):
            alignment = path_alignment(lattice, path)
            found = path.words.tolist()
            times = word_segments(phone_segments(alignment, model), boundary)
            if len(times) != len(found):
                unmatched += 1
                times = spread(len(found), len(alignment))
            for word, time in zip(found, times, strict=True):
                begin = start + options.frame_shift * time.begin
                duration = options.frame_shift * (time.end - time.begin)
                rows[number].append((file, channel, begin, duration, symbols.symbol(word)))
    for (weight, _), table in zip(wanted, rows, strict=True):
        text = "".join(f"{f} {c} {begin:.3f} {length:.3f} {word}\n" for f, c, begin, length, word in sorted(table))
        write_text(Path(options.directory) / f"ascore_{weight}" / f"{data.name}.ctm", text)
    if unmatched:
        log.warning("%d hypotheses do not match their phones; their words got equal shares of the time", unmatched)
    if not utterances:
        raise HdnnError(f"{options.directory}: all {empty} lattices are empty; decode again")
    log.info("wrote the words of %d utterances for %d LM weights; %d without a path", utterances, len(wanted), empty)
