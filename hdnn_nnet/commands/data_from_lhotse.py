"""A Kaldi data directory from manifests of lhotse. Texts and audio are treated as by hdnn data from-folder."""

from dataclasses import dataclass
from pathlib import Path

from hdnn_nnet.corpus.options import PrepareOptions
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, group


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Data."""

    recordings: Path = argument("recordings manifest, such as recordings.jsonl.gz")
    supervisions: Path = argument("supervisions manifest")
    data_dir: Path = argument("data directory to write")
    prepare: PrepareOptions = group(PrepareOptions)


EXAMPLE = "hdnn data from-lhotse recordings.jsonl.gz supervisions.jsonl.gz data/train"
WRITES = "data_dir"


def main(options: Options) -> None:
    from hdnn_nnet.corpus.items import LeftOut
    from hdnn_nnet.corpus.manifests import from_lhotse
    from hdnn_nnet.corpus.prepare import prepare

    left_out = LeftOut()
    items = list(from_lhotse(options.recordings, options.supervisions, left_out))
    prepare(items, options.data_dir, options.prepare, left_out, str(options.supervisions))
