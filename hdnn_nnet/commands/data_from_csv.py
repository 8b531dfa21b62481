"""A Kaldi data directory from a table of sound files and texts: metadata.csv of LJSpeech or audiofolder, TSV, any other.

The first line names the columns (file, speaker, text and the like), or --columns does. Texts and audio are treated as by
hdnn data from-folder.
"""

from dataclasses import dataclass
from pathlib import Path

from hdnn_nnet.corpus.options import PrepareOptions
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, group, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Data."""

    table: Path = argument("such as metadata.csv; cells are divided by tabs, |, ; or commas")
    data_dir: Path = argument("data directory to write")
    audio: Path | None = option(None, "where the sound files are; default: beside the table", metavar="DIR")
    columns: str = option(
        "", "names of the columns, with commas, where the first line does not name them: file,speaker,,text"
    )
    where: tuple[str, ...] = option((), "only rows with COLUMN=VALUE; may repeat", nargs="*")
    prepare: PrepareOptions = group(PrepareOptions)


EXAMPLE = "hdnn data from-csv --where split=train metadata.csv data/train"
WRITES = "data_dir"


def main(options: Options) -> None:
    from hdnn_nnet.corpus.items import LeftOut
    from hdnn_nnet.corpus.prepare import prepare
    from hdnn_nnet.corpus.table import from_table

    columns = [name.strip() for name in options.columns.split(",")] if options.columns else []
    left_out = LeftOut()
    items = list(from_table(options.table, left_out, options.audio, columns, options.where))
    prepare(items, options.data_dir, options.prepare, left_out, str(options.table))
