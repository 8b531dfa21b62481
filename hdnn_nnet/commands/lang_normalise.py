"""Text, one sentence a line (.gz or not), by the rule of transcripts (docs/your-data.md): what a language model is trained on."""

from dataclasses import dataclass
from pathlib import Path

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Text."""

    text: Path = argument("sentences, one a line")
    target: Path = argument("file to write")
    digits: str = option(
        "leave-out", "lines with digits or signs such as &: left out, or spelled (by num2words)", choices=("leave-out", "spell")
    )  # fmt: skip
    language: str = option("en", "of --digits spell")


EXAMPLE = "hdnn lang normalise books.txt.gz data/lm/text.txt"


def main(options: Options) -> None:
    import logging

    from hdnn_nnet.atomic import write_text
    from hdnn_nnet.corpus.normalise import Normaliser, NotPlain
    from hdnn_nnet.errors import HdnnError
    from hdnn_nnet.lang.sentences import WITH_IDS, read_sentences

    log = logging.getLogger(__name__)
    rule = Normaliser(options.digits, options.language)
    if options.text.name in WITH_IDS:
        log.warning("%s: lines of a file of this name begin with an utterance id, which is left out", options.text)
    lines, refused = [], 0
    for words in read_sentences(options.text):
        try:
            text = rule(" ".join(words))
        except NotPlain:
            refused += 1
            continue
        if text:
            lines.append(text)
    if not lines:
        raise HdnnError(
            f"{options.text}: no line with words ({refused} with digits); is it plain text, one sentence a line?"
        )
    write_text(options.target, "\n".join(lines) + "\n")
    log.info(
        "%s: %d lines; %s; %d lines with digits or signs left out", options.target, len(lines), rule.report(), refused
    )
