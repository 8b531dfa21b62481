"""A Kaldi data directory from a folder of recordings: SPEAKER/anything.wav (.flac, .mp3, ...) with anything.txt beside it.

Texts become capitals without punctuation by one rule (docs/your-data.md); audio that is not 16-bit mono WAV at the wanted rate is
decoded into DATA_DIR/wav. What is changed, left out or odd is counted, and kept in DATA_DIR/prepared.txt.
"""

from dataclasses import dataclass
from pathlib import Path

from hdnn_nnet.corpus.options import PrepareOptions
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, group


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Data."""

    folder: Path = argument("with a directory for each speaker")
    data_dir: Path = argument("data directory to write")
    prepare: PrepareOptions = group(PrepareOptions)


EXAMPLE = "hdnn data from-folder recordings data/train"
WRITES = "data_dir"


def main(options: Options) -> None:
    from hdnn_nnet.corpus.folder import from_folder
    from hdnn_nnet.corpus.items import LeftOut
    from hdnn_nnet.corpus.prepare import prepare

    left_out = LeftOut()
    items = list(from_folder(options.folder, left_out))
    prepare(items, options.data_dir, options.prepare, left_out, str(options.folder))
