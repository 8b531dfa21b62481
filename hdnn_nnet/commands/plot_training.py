"""Draw training curves of model directories into one PNG."""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Figure."""

    png: str = argument("file to write")
    directories: tuple[str, ...] = argument("model directories (their history.json is read)", nargs="+")


EXAMPLE = "hdnn plot training exp/training.png exp/hdnn_h128l10 exp/hdnn_h128l10_kd"


def main(options: Options) -> None:
    from hdnn_nnet.score.figures import save
    from hdnn_nnet.score.plot_training import draw

    save(draw(options.directories), options.png)
