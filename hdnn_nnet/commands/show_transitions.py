"""Transition-states, transition-ids and their probabilities of a transition model, as Kaldi's show-transitions lists them."""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Transitions."""

    phones: str = argument("phones.txt")
    model: str = argument("transition model, or a model that begins with one (final.mdl)")


EXAMPLE = "hdnn show-transitions data/lang/phones.txt exp/mono/final.mdl"


def main(options: Options) -> None:
    from hdnn_nnet.errors import HdnnError
    from hdnn_nnet.kaldi.symbols import SymbolTable
    from hdnn_nnet.kaldi.transitions import TransitionModel

    names, model = SymbolTable.read(options.phones).names(), TransitionModel.read(options.model)
    missing = [phone for phone in model.tuples[:, 0].tolist() if phone >= len(names) or not names[phone]]
    if missing:
        raise HdnnError(f"{options.phones} has no phone {missing[0]} of {options.model}; give the phones.txt beside it")
    print(model.describe(names), end="")
