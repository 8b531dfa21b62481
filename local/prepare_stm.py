"""A Kaldi data directory from an STM file and the recordings it names: one utterance a line, text as in AMI's sets."""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hdnn_nnet.cli import script
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.data_writer import Recording, Utterance, write_data_dir
from hdnn_nnet.kaldi.text_file import read_lines
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option
from hdnn_nnet.text import to_float, words

log = logging.getLogger(__name__)


class StmLine(NamedTuple):
    """One transcribed stretch; times in seconds."""

    file: str
    channel: str
    speaker: str
    start: float
    end: float
    text: str


def read_stm(path: Path, odd: Counter[str]) -> Iterator[StmLine]:
    """Transcribed lines of an STM file: `file channel speaker start end [<label>] words`.

    Comments (`;;`) are skipped; lines to be ignored in scoring, lines without words and lines of no duration are
    skipped and counted in `odd`.
    """
    for number, line in enumerate(read_lines(path), 1):
        fields = words(line)
        if not fields or line.startswith(";;"):
            continue
        try:
            start, end = to_float(fields[3]), to_float(fields[4])
        except (IndexError, ValueError) as error:
            raise HdnnError(
                f"{path}, line {number}: expected <file> <channel> <speaker> <start> <end> words"
            ) from error
        said = fields[5:]
        if said and said[0].startswith("<") and said[0].endswith(">"):
            del said[0]
        if "IGNORE_TIME_SEGMENT_IN_SCORING" in (word.upper() for word in said):
            odd["line marked to be ignored"] += 1
        elif not said:
            odd["line without words"] += 1
        elif int(100 * end + 0.5) <= int(100 * start + 0.5):
            odd["line of no duration"] += 1
        else:
            yield StmLine(fields[0], fields[1], fields[2], start, end, " ".join(said))


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Data."""

    stm: Path = argument("transcripts")
    audio_dir: Path = argument("directory with <file>.wav")
    data_dir: Path = argument("data directory to write")
    normalize: str = option("kaldi", "text normalisation", choices=("kaldi", "upper", "none"))


def main(options: Options) -> None:
    """Write `<data-dir>`; recordings are `<audio-dir>/<file>.wav`, mono."""
    import soundfile
    from lhotse.recipes.utils import normalize_text_ami

    odd: Counter[str] = Counter()
    durations: dict[str, float] = {}
    recordings: dict[str, Recording] = {}
    utterances: dict[str, Utterance] = {}
    for line in read_stm(options.stm, odd):
        if line.file not in recordings:
            path = (options.audio_dir / f"{line.file}.wav").resolve()
            try:
                info = soundfile.info(path)
            except soundfile.SoundFileError as error:
                raise HdnnError(f"{path}: not a readable sound file ({error}), but {options.stm} names it") from error
            if info.channels != 1:
                raise HdnnError(f"{path}: {info.channels} channels; only mono recordings are known here")
            durations[line.file] = info.frames / info.samplerate
            # sclite and Kaldi call the only channel A; some STM files call it 1.
            channel = "A" if line.channel == "1" else line.channel
            recordings[line.file] = Recording(line.file, path, line.file, channel)
        text = normalize_text_ami(line.text, normalize=options.normalize)
        start, end = int(100 * line.start + 0.5), int(100 * min(line.end, durations[line.file]) + 0.5)
        if line.end > durations[line.file]:
            odd["line cut at the end of its recording"] += 1
        # A speaker is kept apart in every recording, as in AMI's sets: channel and room differ.
        speaker = f"{line.file}-{line.speaker}"
        utterance = Utterance(f"{speaker}-{start:07d}-{end:07d}", line.file, speaker, start, end, text)
        if not text or end <= start:
            odd["line without words or time after normalisation and cutting"] += 1
        elif utterance.id in utterances:
            odd["line that occurs twice"] += 1
        else:
            utterances[utterance.id] = utterance
    if not utterances:
        raise HdnnError(f"{options.stm}: no transcribed line")
    write_data_dir(options.data_dir, list(utterances.values()), recordings.values())
    for kind, count in sorted(odd.items()):
        log.info("odd: %d x %s", count, kind)
    count = sum(len(words(u.text)) for u in utterances.values())
    speakers = len({u.speaker for u in utterances.values()})
    log.info("%s: %d utterances, %d words, %d speakers", options.data_dir, len(utterances), count, speakers)


if __name__ == "__main__":
    script(Options, main, "prepare_stm.py", __doc__ or "")
