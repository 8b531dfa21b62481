"""Copy a table of posteriors: to Kaldi's form, binary or text, or to the compact one (the counterpart of copy-post).

The compact form takes two to three bytes an entry instead of ten, and changes weights by some per cent of their size.
"""

from dataclasses import dataclass

from hdnn_nnet.kaldi.options import FORMS
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Posteriors."""

    rspecifier: str = argument("table of posteriors of either form, for example exp/soft/post.scp")
    wspecifier: str = argument("where they go, for example ark,scp:post.ark,post.scp, or ark,t:- for text")
    form: str = option("kaldi", "of what is written", choices=FORMS)


EXAMPLE = "hdnn copy-post exp/soft/post.scp ark,t:- | less"


def main(options: Options) -> None:
    import logging

    from hdnn_nnet.errors import HdnnError
    from hdnn_nnet.kaldi.posteriors import PosteriorWriter, read_posteriors

    done = 0
    with PosteriorWriter(options.wspecifier, options.form) as writer:
        for key, posteriors in read_posteriors(options.rspecifier):
            writer.write_posteriors(key, posteriors)
            done += 1
        if not done:
            raise HdnnError(f"{options.rspecifier}: no posteriors")
    logging.getLogger(__name__).info("Copied the posteriors of %d utterances", done)
