"""A Kaldi lang directory from a dictionary directory, as Kaldi's utils/prepare_lang.sh makes it.

Files, numbering of symbols and FSTs are those of Kaldi's script, so graphs and alignments made with either fit.
Left out: silence probabilities per word, grammar non-terminals, a phone-level model of the unknown word.
"""

import logging
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from hdnn_nnet.atomic import atomic_path, write_text
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.data_dir import byte_order
from hdnn_nnet.kaldi.text_file import read_lines
from hdnn_nnet.lang.options import LangOptions
from hdnn_nnet.text import to_float, words

log = logging.getLogger(__name__)

POSITIONS = ("B", "E", "I", "S")  # begin, end, inside and singleton of a word
WORD_BOUNDARY = {"_B": "begin", "_E": "end", "_I": "internal", "_S": "singleton"}


class Entry(NamedTuple):
    """A pronunciation with its probability."""

    word: str
    probability: float
    phones: tuple[str, ...]


class Dictionary(NamedTuple):
    """A dictionary directory; a line of phones shares one base phone (variants of stress or tone)."""

    entries: list[Entry]
    silence: list[list[str]]
    nonsilence: list[list[str]]
    optional_silence: str
    extra_questions: list[list[str]]


def _rows(path: Path) -> list[list[str]]:
    if not path.exists():
        raise HdnnError(f"{path} does not exist; run hdnn lang dict")
    return [row for line in read_lines(path) if (row := words(line))]


def read_dict(directory: Path) -> Dictionary:
    """Read and check lexiconp.txt (else lexicon.txt) and the phone lists."""
    silence, nonsilence = _rows(directory / "silence_phones.txt"), _rows(directory / "nonsilence_phones.txt")
    optional = _rows(directory / "optional_silence.txt")
    questions = directory / "extra_questions.txt"
    phones = [phone for row in silence + nonsilence for phone in row]
    for phone, count in Counter(phones).items():
        if count > 1:
            raise HdnnError(
                f"{directory}: phone {phone} is listed twice in silence_phones.txt and nonsilence_phones.txt"
            )
        if phone.startswith("#") or phone == "<eps>" or phone[-2:] in WORD_BOUNDARY:
            raise HdnnError(f"{directory}: phone {phone} has a form that is kept for other symbols; rename it")
    if not silence or not nonsilence:
        raise HdnnError(f"{directory}: silence_phones.txt and nonsilence_phones.txt must not be empty")
    if len(optional) != 1 or len(optional[0]) != 1 or optional[0][0] not in {p for row in silence for p in row}:
        raise HdnnError(f"{directory}/optional_silence.txt: expected one phone out of silence_phones.txt")

    path = directory / "lexiconp.txt"
    with_probability = path.exists()
    if not with_probability:
        path = directory / "lexicon.txt"
    entries, known = [], set(phones)
    for word, *fields in _rows(path):
        probability = 1.0
        if with_probability:
            try:
                probability = to_float(fields.pop(0))
            except (IndexError, ValueError) as error:
                raise HdnnError(f"{path}: word {word} has no pronunciation probability") from error
        if not 0.0 < probability <= 1.0:
            raise HdnnError(f"{path}: word {word} has probability {probability}; it must be above 0 and at most 1")
        if not fields:
            raise HdnnError(f"{path}: word {word} has no phones")
        if word in ("<s>", "</s>", "<eps>", "#0"):
            raise HdnnError(f"{path}: {word} cannot be a word; remove it")
        for phone in fields:
            if phone not in known:
                raise HdnnError(f"{path}: word {word} has phone {phone}, which is in no phone list of {directory}")
        entries.append(Entry(word, probability, tuple(fields)))
    if not entries:
        raise HdnnError(f"{path}: empty lexicon")
    return Dictionary(entries, silence, nonsilence, optional[0][0], _rows(questions) if questions.exists() else [])


def with_positions(phones: Sequence[str]) -> tuple[str, ...]:
    """`K AE T` to `K_B AE_I T_E`; a single phone gets `_S`."""
    if len(phones) == 1:
        return (f"{phones[0]}_S",)
    return (f"{phones[0]}_B", *(f"{phone}_I" for phone in phones[1:-1]), f"{phones[-1]}_E")


def add_disambiguation(entries: Sequence[Entry]) -> tuple[list[Entry], int]:
    """End every pronunciation that another word shares, or that begins another one, with `#1`, `#2`, ...

    Returns: the entries and the highest number used (0 if none); symbols count up separately for each pronunciation.
    """
    times = Counter(entry.phones for entry in entries)
    prefixes = {entry.phones[:length] for entry in entries for length in range(1, len(entry.phones))}
    used: Counter[tuple[str, ...]] = Counter()
    result = []
    for entry in entries:
        if times[entry.phones] > 1 or entry.phones in prefixes:
            used[entry.phones] += 1
            entry = entry._replace(phones=(*entry.phones, f"#{used[entry.phones]}"))
        result.append(entry)
    return result, max(used.values(), default=0)


def topology(nonsilence: Iterable[int], silence: Iterable[int], nonsilence_states: int, silence_states: int) -> str:
    """Text of `topo`: left-to-right states for speech, freely connected middle states for silence."""

    def left_to_right(states: int) -> list[str]:
        return [f"<PdfClass> {s} <Transition> {s} 0.75 <Transition> {s + 1} 0.25 " for s in range(states)]

    def ergodic(states: int) -> list[str]:
        share = f"{1 / (states - 1):.15g}"
        first = "".join(f"<Transition> {s} {share} " for s in range(states - 1))
        middle = "".join(f"<Transition> {s} {share} " for s in range(1, states))
        rows = [f"<PdfClass> {s} {middle if s else first}" for s in range(states - 1)]
        last = states - 1
        return [*rows, f"<PdfClass> {last} <Transition> {last} 0.75 <Transition> {states} 0.25 "]

    lines = ["<Topology>"]
    silence_rows = ergodic(silence_states) if silence_states > 1 else left_to_right(1)
    for phones, rows in ((nonsilence, left_to_right(nonsilence_states)), (silence, silence_rows)):
        lines += ["<TopologyEntry>", "<ForPhones>", " ".join(map(str, phones)), "</ForPhones>"]
        lines += [f"<State> {state} {row}</State>" for state, row in enumerate(rows)]
        lines += [f"<State> {len(rows)} </State>", "</TopologyEntry>"]
    return "\n".join([*lines, "</Topology>"]) + "\n"


def lexicon_fst(
    entries: Sequence[Entry],
    phones: dict[str, int],
    words: dict[str, int],
    silence: str,
    silence_probability: float,
    silence_disambiguation: str | None = None,
):
    """Lexicon transducer, phones in, words out, with optional silence before the first and after every word.

    State 0 starts; words leave and enter at the loop state, or enter it through silence. With
    `silence_disambiguation` the silence is followed by that symbol. Weights are natural-log costs.
    Returns: a kaldifst.StdVectorFst, arcs not sorted.
    """
    import kaldifst

    fst = kaldifst.StdVectorFst()

    def arc(source: int, target: int, phone: str, word: str = "<eps>", cost: float = 0.0) -> None:
        fst.add_arc(source, kaldifst.StdArc(phones[phone], words[word], cost, target))

    loop = fst.add_state()
    fst.start = loop
    exits = [(loop, 0.0)]
    if silence_probability > 0.0:
        start, loop, pause = loop, fst.add_state(), fst.add_state()
        exits = [(loop, -math.log(1.0 - silence_probability)), (pause, -math.log(silence_probability))]
        for target, cost in exits:
            arc(start, target, "<eps>", cost=cost)
        if silence_disambiguation is None:
            arc(pause, loop, silence)
        else:
            marked = fst.add_state()
            arc(pause, marked, silence)
            arc(marked, loop, silence_disambiguation)
    for entry in entries:
        state, word, cost = loop, entry.word, -math.log(entry.probability)
        for phone in entry.phones[:-1]:
            target = fst.add_state()
            arc(state, target, phone, word, cost)
            state, word, cost = target, "<eps>", 0.0
        for target, exit_cost in exits:
            arc(state, target, entry.phones[-1], word, exit_cost + cost)
    fst.set_final(state=loop, weight=0.0)
    return fst


def write_fst(fst, path: Path) -> None:
    """Write a binary OpenFst file."""
    with atomic_path(path) as temporary:
        if not fst.write(str(temporary)):
            raise HdnnError(f"{path}: cannot write the FST; is the disk full?")


class Lang:
    """Writes one lang directory; each method one group of files."""

    def __init__(self, dictionary: Dictionary, oov: str, directory: Path, positions: bool, share_silence: bool) -> None:
        self.directory = directory
        self.dictionary = dictionary
        self.positions = positions
        self.entries = list(dictionary.entries)
        if positions:
            self.entries = [entry._replace(phones=with_positions(entry.phones)) for entry in self.entries]
        self.disambiguated, highest = add_disambiguation(self.entries)
        self.disambiguation = [f"#{n}" for n in range(highest + 2)]  # #0 for the grammar, one more for silence
        silence, nonsilence = self._variants(dictionary.silence, True), self._variants(dictionary.nonsilence, False)
        self.lists = {
            "silence": [phone for row in silence for phone in row],
            "nonsilence": [phone for row in nonsilence for phone in row],
            "optional_silence": [dictionary.optional_silence],
            "disambig": self.disambiguation,
        }
        self.lists["context_indep"] = self.lists["silence"]
        self.sets = ([[p for row in silence for p in row]] if share_silence else silence) + nonsilence
        self.roots = ["shared split"] * len(self.sets)
        if share_silence:
            self.roots[0] = "not-shared not-split"
        symbols = ["<eps>", *self.lists["silence"], *self.lists["nonsilence"], *self.disambiguation]
        self.phones = {symbol: number for number, symbol in enumerate(symbols)}
        vocabulary = sorted({entry.word for entry in self.entries}, key=byte_order)
        self.words = {word: n for n, word in enumerate(["<eps>", *vocabulary, "#0", "<s>", "</s>"])}
        if oov not in self.words:
            raise HdnnError(f"the unknown word {oov} is not in the lexicon; add it with a pronunciation")
        self.oov = oov

    def _variants(self, rows: list[list[str]], silence: bool) -> list[list[str]]:
        """The rows with each phone replaced by its position-dependent variants."""
        if not self.positions:
            return rows
        suffixes = [*([""] if silence else []), *(f"_{position}" for position in POSITIONS)]
        return [[phone + suffix for phone in row for suffix in suffixes] for row in rows]

    def _write_rows(self, name: str, rows: Iterable[Sequence[str]], skip: int = 0) -> None:
        """`phones/<name>.txt` and, with all but the first `skip` fields as integers, `.int`."""
        rows = list(rows)
        numbers = [[*row[:skip], *(str(self.phones[phone]) for phone in row[skip:])] for row in rows]
        for suffix, table in (("txt", rows), ("int", numbers)):
            write_text(self.directory / "phones" / f"{name}.{suffix}", "".join(" ".join(row) + "\n" for row in table))

    def write_symbols(self) -> None:
        """phones.txt, words.txt, oov.*."""
        for name, table in (("phones", self.phones), ("words", self.words)):
            write_text(self.directory / f"{name}.txt", "".join(f"{symbol} {n}\n" for symbol, n in table.items()))
        write_text(self.directory / "oov.txt", self.oov + "\n")
        write_text(self.directory / "oov.int", f"{self.words[self.oov]}\n")

    def write_phone_lists(self) -> None:
        """Everything in phones/."""
        phones = self.directory / "phones"
        for name, symbols in self.lists.items():
            self._write_rows(name, ([symbol] for symbol in symbols))
            write_text(phones / f"{name}.csl", ":".join(str(self.phones[symbol]) for symbol in symbols) + "\n")
        self._write_rows("sets", self.sets)
        self._write_rows(
            "roots", ([*root.split(" "), *row] for root, row in zip(self.roots, self.sets, strict=True)), 2
        )
        self._write_rows("extra_questions", self._questions())
        if self.positions:
            spoken = self.lists["silence"] + self.lists["nonsilence"]
            boundary = [(phone, WORD_BOUNDARY.get(phone[-2:], "nonword")) for phone in spoken]
            write_text(phones / "word_boundary.txt", "".join(f"{phone} {kind}\n" for phone, kind in boundary))
            write_text(phones / "word_boundary.int", "".join(f"{self.phones[p]} {kind}\n" for p, kind in boundary))
        else:
            for suffix in ("txt", "int"):
                (phones / f"word_boundary.{suffix}").unlink(missing_ok=True)
        write_text(phones / "wdisambig.txt", "#0\n")
        write_text(phones / "wdisambig_phones.int", f"{self.phones['#0']}\n")
        write_text(phones / "wdisambig_words.int", f"{self.words['#0']}\n")

        pairs = {(entry.word, entry.phones) for entry in self.entries}
        pairs.add(("<eps>", (self.dictionary.optional_silence,)))
        lines = sorted((f"{word} {word} {' '.join(pron)}" for word, pron in pairs), key=byte_order)
        write_text(phones / "align_lexicon.txt", "\n".join(lines) + "\n")
        rows = (line.split(" ") for line in lines)
        write_text(
            phones / "align_lexicon.int",
            "".join(
                " ".join(map(str, [self.words[row[0]], self.words[row[1]], *(self.phones[p] for p in row[2:])])) + "\n"
                for row in rows
            ),
        )

    def _questions(self) -> list[list[str]]:
        """The dictionary's questions about phones and, with positions, one a position for speech and for silence."""
        base = {phone: True for row in self.dictionary.silence for phone in row}
        base |= {phone: False for row in self.dictionary.nonsilence for phone in row}
        questions = []
        for row in self.dictionary.extra_questions:
            for phone in row:
                if phone not in base:
                    raise HdnnError(f"extra_questions.txt: {phone} is in no phone list")
            questions.append([variant for phone in row for variant in self._variants([[phone]], base[phone])[0]])
        if self.positions:
            for suffix in POSITIONS:
                questions.append([f"{phone}_{suffix}" for row in self.dictionary.nonsilence for phone in row])
            for suffix in ("", *(f"_{position}" for position in POSITIONS)):
                questions.append([phone + suffix for row in self.dictionary.silence for phone in row])
        return questions

    def write_topology(self, nonsilence_states: int, silence_states: int) -> None:
        """topo."""
        numbers = {name: [self.phones[p] for p in self.lists[name]] for name in ("nonsilence", "silence")}
        text = topology(numbers["nonsilence"], numbers["silence"], nonsilence_states, silence_states)
        write_text(self.directory / "topo", text)

    def write_lexicon(self, silence_probability: float) -> None:
        """L.fst and L_disambig.fst; the latter lets the grammar's #0 pass through."""
        import kaldifst

        silence = self.dictionary.optional_silence
        plain = lexicon_fst(self.entries, self.phones, self.words, silence, silence_probability)
        marked = lexicon_fst(
            self.disambiguated, self.phones, self.words, silence, silence_probability, self.disambiguation[-1]
        )
        kaldifst.add_self_loops(marked, [self.phones["#0"]], [self.words["#0"]])
        for fst, name in ((plain, "L.fst"), (marked, "L_disambig.fst")):
            kaldifst.arcsort(fst, sort_type="olabel")
            write_fst(fst, self.directory / name)


def prepare_lang(options: LangOptions) -> None:
    """Write a lang directory from a dictionary directory.

    Raises:
        HdnnError: a dictionary that is missing or contradicts itself.
    """
    dictionary = read_dict(Path(options.dict_dir))
    lang = Lang(
        dictionary, options.oov, Path(options.lang_dir), options.position_dependent_phones, options.share_silence_phones
    )
    lang.write_symbols()
    lang.write_phone_lists()
    lang.write_topology(options.num_nonsil_states, options.num_sil_states)
    lang.write_lexicon(options.sil_prob)
    log.info(
        "%s: %d words, %d phones, %d disambiguation symbols",
        options.lang_dir,
        len(lang.words) - 4,
        len(lang.lists["silence"]) + len(lang.lists["nonsilence"]),
        len(lang.disambiguation),
    )
