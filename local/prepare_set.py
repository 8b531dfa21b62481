#!/usr/bin/env python3
"""The data directory of one more set of recordings, for models that have been trained.

<source> is what a set of one's own corpus may be (docs/your-data.md): a Kaldi data directory, a folder, a table, manifests.
Its audio gets the sample rate of the features that <conf>/mfcc.conf describes.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from hdnn_nnet.cli import script
from hdnn_nnet.corpus.items import LeftOut
from hdnn_nnet.corpus.options import PrepareOptions
from hdnn_nnet.corpus.prepare import prepare
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, group, option
from hdnn_nnet.text import read_plain
from local.prepare_own import read_source

PROGRAM = "prepare_set.py"
_RATE = "--sample-frequency="


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Data."""

    source: Path = argument("one set of recordings with texts, or its table")
    data_dir: Path = argument("data directory to write")
    conf: Path = option(Path("conf"), "directory with the mfcc.conf of the models' corpus")
    prepare: PrepareOptions = group(PrepareOptions)


def rate_of(conf: Path) -> int:
    """Samples a second that a configuration of features is for; Kaldi's default is 16000."""
    given = [line for line in read_plain(conf) if line.startswith(_RATE)]
    return int(float(given[-1].removeprefix(_RATE))) if given else 16000


def main(options: Options) -> None:
    if not options.source.exists():
        raise HdnnError(f"{options.source} does not exist; give a set of recordings (docs/your-data.md)")
    how = options.prepare
    rate = rate_of(options.conf / "mfcc.conf")
    if how.rate not in (0, rate):
        raise HdnnError(f"--rate {how.rate}: the models are for {rate} samples a second; leave it out")
    left_out = LeftOut()
    items = list(read_source(options.source, left_out))
    prepare(items, options.data_dir, replace(how, rate=rate), left_out, str(options.source))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    script(Options, main, PROGRAM, __doc__ or "")
