"""The command `hdnn`: a table of its subcommands, which are imported only when they are called."""

import argparse
import difflib
import importlib
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from typing import Any, NoReturn

from hdnn_nnet import __version__
from hdnn_nnet.atomic import FULL
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.lock import locked
from hdnn_nnet.options import OptionParser, flatten, from_args, is_argument, parse, walk

#: name -> (module in hdnn_nnet.commands, what it does)
COMMANDS: dict[str, tuple[str, str]] = {
    "train ce": ("train_ce", "train a network by cross-entropy"),
    "train kd": ("train_kd", "distil a teacher into a student"),
    "train smbr": ("train_smbr", "train on lattices by sMBR, MPFE or MMI"),
    "train mono": ("train_mono", "train a monophone GMM"),
    "train deltas": ("train_deltas", "train triphones over deltas"),
    "train lda-mllt": ("train_lda_mllt", "train triphones over LDA + MLLT features"),
    "train sat": ("train_sat", "train triphones over speaker-adapted features"),
    "torchrun": ("torchrun", "a training in several processes or on several machines"),
    "adapt": ("adapt", "adapt a network to speakers"),
    "forward": ("forward", "log-likelihoods for a Kaldi decoder"),
    "latgen": ("latgen", "decode log-likelihoods to lattices"),
    "transcribe": ("transcribe", "sound files to words"),
    "soft-labels": ("soft_labels", "store a teacher's posteriors"),
    "copy-post": ("copy_post", "posteriors to Kaldi's form, text, or the compact form"),
    "cross-validate": ("cross_validate", "loss and frame accuracy on an alignment"),
    "prior-counts": ("prior_counts", "expected pdf counts of a network"),
    "align nnet": ("align_nnet", "forced alignment by a network"),
    "align gmm": ("align_gmm", "forced alignment by a GMM"),
    "align fmllr": ("align_fmllr", "the same in two passes with speaker transforms"),
    "gmm likes": ("gmm_likes", "log-likelihoods of a GMM for a decoder"),
    "gmm fmllr": ("gmm_fmllr", "speaker transforms from lattices or alignments"),
    "gmm rescore": ("gmm_rescore", "lattices with the acoustic scores of a GMM"),
    "mkgraph": ("mkgraph", "make a decoding graph"),
    "lattice info": ("lattice_info", "sizes of lattices"),
    "lattice copy": ("lattice_copy", "compact or state-level, text or binary, or some"),
    "lattice prune": ("lattice_prune", "prune to a beam"),
    "lattice rescore": ("lattice_rescore", "another language model in place of the old one"),
    "lattice nbest": ("lattice_nbest", "N best word sequences"),
    "lattice oracle": ("lattice_oracle", "oracle WER, density"),
    "lattice labels": ("lattice_labels", "best paths as frame labels with confidences"),
    "lattice to-k2": ("lattice_to_k2", "to FSAs of k2"),
    "lattice from-k2": ("lattice_from_k2", "from FSAs of k2"),
    "score": ("score", "WER over LM weights and penalties"),
    "compare": ("compare", "is the difference of two systems more than chance?"),
    "best-wer": ("best_wer", "best WER of decode directories"),
    "wer-table": ("wer_table", "table of models and their WER"),
    "ctm": ("ctm", "words with times, for sclite"),
    "report": ("report", "results as one HTML page"),
    "plot training": ("plot_training", "training curves"),
    "plot wer": ("plot_wer", "WER against parameters"),
    "export nnet3": ("export_nnet3", "to Kaldi nnet3 and Vosk"),
    "export onnx": ("export_onnx", "to ONNX, float and 8-bit"),
    "import nnet1": ("import_nnet1", "from Kaldi's nnet1"),
    "show-transitions": ("show_transitions", "transition-ids of a model"),
    "feats make": ("feats_make", "MFCC or log-mel features"),
    "feats ssl": ("feats_ssl", "features of a speech encoder such as WavLM or Whisper"),
    "feats fit": ("feats_fit", "numbers of frames of features that come at another rate"),
    "feats fmllr": ("feats_fmllr", "features of a GMM, adapted to speakers"),
    "data from-folder": ("data_from_folder", "data directory from a folder of recordings and texts"),
    "data from-csv": ("data_from_csv", "the same from a table of files and texts"),
    "data from-lhotse": ("data_from_lhotse", "the same from lhotse's manifests"),
    "data augment": ("data_augment", "copies of other speeds, with noise, with reverberation"),
    "data split": ("data_split", "split a data directory into jobs"),
    "data split-tr-cv": ("data_split_tr_cv", "split off cross-validation data"),
    "lang dict": ("lang_dict", "pronunciation dictionary"),
    "lang normalise": ("lang_normalise", "text by the rule of transcripts"),
    "lang prepare": ("lang_prepare", "lang directory from a dictionary"),
    "lang train-lm": ("lang_train_lm", "n-gram language model"),
    "lang format-lm": ("lang_format_lm", "G.fst from an ARPA model"),
    "lang unigram": ("lang_unigram", "lang directory with a unigram of transcripts"),
    "check lattices": ("check_lattices", "is every utterance decoded?"),
    "check utterances": ("check_utterances", "is every utterance still there?"),
    "doctor": ("doctor", "what this machine has and lacks"),
    "collect adapt": ("collect_adapt", "complete adapted parameters after their jobs"),
    "collect ali": ("collect_ali", "complete an alignment directory after its jobs"),
    "collect counts": ("collect_counts", "sum pdf counts of jobs"),
    "collect feats": ("collect_feats", "complete features after their jobs"),
    "collect fmllr": ("collect_fmllr", "complete adapted features after their jobs"),
    "collect lattices": ("collect_lattices", "complete denominator lattices after their jobs"),
    "collect soft-labels": ("collect_soft_labels", "complete soft labels after their jobs"),
}
_TOP = (
    "usage: hdnn COMMAND [options] ...\n       hdnn COMMAND --help\n       hdnn --version\n"
    "       hdnn --completion bash|zsh|fish|tcsh\n"
)


def find(words: Sequence[str]) -> tuple[str, list[str]]:
    """The command that a command line begins with, and the words after it.

    Raises:
        HdnnError: no such command.
    """
    for count in (2, 1):
        name = " ".join(words[:count])
        if len(words) >= count and name in COMMANDS:
            return name, list(words[count:])
    name = " ".join(words[: 2 if _family(words[0]) else 1])
    near = difflib.get_close_matches(name, COMMANDS, 3)
    raise HdnnError(f"no command {name!r}; " + (f"did you mean {' or '.join(near)}?" if near else "see hdnn --help"))


def _family(word: str) -> list[str]:
    """Commands of two words that begin with this one."""
    return [name for name in COMMANDS if name.startswith(word + " ")]


def _listing(names: Sequence[str]) -> str:
    width = max(map(len, names))
    return "".join(f"  {name.ljust(width)}  {COMMANDS[name][1]}\n" for name in names)


def load(name: str) -> Any:
    """The module of a command."""
    return importlib.import_module(f"hdnn_nnet.commands.{COMMANDS[name][0]}")


def parser(name: str, prog: str = "") -> OptionParser:
    """The parser of a command."""
    module = load(name)
    return OptionParser(prog or f"hdnn {name}", module.Options, module.__doc__ or "", module.EXAMPLE)


def call(name: str, argv: Sequence[str]) -> int:
    """Run a command in this process; gives its status.

    Raises:
        HdnnError: bad input.
        SystemExit: a wrong option (status 1), or `--help`.
    """
    module = load(name)
    if not hasattr(module, "Options"):  # hands its words on to another program
        return module.main(list(argv)) or 0
    made = parser(name)
    args = made.parse_args(argv)
    if args.verbose:
        logging.getLogger().setLevel(logging.DEBUG)
    options = from_args(module.Options, args)
    _check_places(module, options, name)
    fields = getattr(module, "WRITES", "").split()
    with ExitStack() as locks:
        for field in fields:
            locks.enter_context(_held(field, options, name))
        return module.main(options) or 0


#: commands that write a directory of their own, not into one that they read
_APART = ("train ", "align ", "adapt", "data from-", "data split-tr-cv", "import ", "export ", "mkgraph")


def _check_places(module: Any, options: Any, name: str) -> None:
    """What a command writes must not be what it reads, nor two parts one.

    Raises:
        HdnnError: they are one directory.
    """
    fields = getattr(module, "WRITES", "").split()
    if not name.startswith(_APART):
        return
    names = [field.name for field in walk(module.Options) if is_argument(field)]
    values = {name: value for name, value in flatten(options).items() if name in names and value}
    places = {n: os.path.realpath(v) for n, v in values.items() if isinstance(v, str | os.PathLike)}
    for field in fields:
        for other in places.keys() - {field}:
            if places[other] == places[field] and (name, other) != ("train smbr", "src_dir"):  # it says so itself
                raise HdnnError(
                    f"{other.replace('_', '-')} and {field.replace('_', '-')} are one directory, {places[field]}, which would be "
                    "written over; give another one to write"
                )


def _held(field: str, options: Any, name: str) -> AbstractContextManager[None]:
    """The lock on the directory (or prefix of files) that a command writes; of several ranks the first one holds it.

    One of several jobs (`--job`) shares the directory with the others.
    """
    if os.environ.get("RANK", "0") != "0":
        return nullcontext()
    values = flatten(options)
    job = values.get("job")
    if field != "prefix":
        return locked(values[field], f"hdnn {name}", job)
    folder, _, stem = values[field].rpartition("/")
    return locked(folder or ".", f"hdnn {name}", job, f".{stem}.lock")


def check(argv: Sequence[str]) -> int:
    """`hdnn --check COMMAND ...`: only look at options and number of arguments; one line on stderr where they are wrong."""
    name, words = find(argv)
    made = parser(name)
    made.print_usage = lambda file=None: None  # type: ignore[method-assign]  # the caller has a usage of its own
    _check_places(load(name), from_args(made.made_for, made.parse_args(words)), name)
    return 0


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """The console script."""
    words = list(sys.argv[1:] if argv is None else argv)
    prog = "hdnn"
    with suppress(HdnnError):
        prog += " " + find(words)[0] if words else ""
    leave(lambda: _run(words), prog)


def _run(words: list[str]) -> int:
    if not words or words[0] in ("--help", "-h", "help"):
        return _show(f"{_TOP}\ncommands:\n{_listing(list(COMMANDS))}", asked=bool(words))
    if words[0] == "--version":
        return _show(f"hdnn_nnet {__version__}\n")
    if words[0] == "--completion":
        return _show(completion(" ".join(words[1:])) + "\n")
    if words[0] == "--check":
        return check(words[1:])
    if words[0] == "--options":  # for the --help of a step
        return print_options(words[1:])
    if _family(words[0]) and (len(words) == 1 or words[1] in ("--help", "-h")):
        return _show(f"commands:\n{_listing(_family(words[0]))}", asked=len(words) > 1)
    return call(*find(words))


def _show(text: str, asked: bool = True) -> int:
    """Print what was asked for; else it is a reminder, and status 1."""
    print(text, end="", file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 1


def print_options(argv: Sequence[str]) -> int:
    """`hdnn --options COMMAND`: the options alone, in their groups, without positional arguments and what a step sets itself."""
    made = parser(find(argv)[0])
    for action in made._actions:
        if action.dest in ("help", "config", "job", "num_jobs"):
            action.help = argparse.SUPPRESS
    sections = made.format_help().split("\n\n")
    groups = [s.rstrip() for s in sections if ":\n" in s and not s.startswith(("usage", "positional", "example"))]
    print("\n\n".join(groups).removeprefix("options:\n"))
    return 0


def completion(shell: str) -> str:
    """A script that completes commands and options: `eval "$(hdnn --completion bash)"`."""
    import shtab

    if shell not in shtab.SUPPORTED_SHELLS:
        raise HdnnError(f"--completion {shell or '?'}: give one of {', '.join(shtab.SUPPORTED_SHELLS)}")
    top = argparse.ArgumentParser(prog="hdnn")
    places = {"": top.add_subparsers()}
    for name, (_, text) in COMMANDS.items():
        family, _, word = name.rpartition(" ")
        if family not in places:
            places[family] = places[""].add_parser(family, help=f"{family} ...").add_subparsers()
        known = [parser(name)] if hasattr(load(name), "Options") else []
        places[family].add_parser(word, help=text, parents=known, add_help=not known, conflict_handler="resolve")
    return shtab.complete(top, shell)


def transcribe() -> NoReturn:
    """The console script `hdnn-transcribe`."""
    main(["transcribe", *sys.argv[1:]])


def leave(work: Callable[[], int | None], prog: str) -> NoReturn:
    """Do the work of a program and leave the process with its status.

    HdnnError and operating-system errors become one line on stderr and status 1; an interrupt gives 130.
    A reader that closed our pipe is an error (141), never a silent success: in Kaldi's pipes nothing else would tell.
    """
    from hdnn_nnet.device.memory import keep_freed_memory

    keep_freed_memory()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # names of files that are not UTF-8
    logging.basicConfig(level=logging.INFO, format=f"%(levelname)s ({prog}) %(message)s", stream=sys.stderr)
    status: Any
    try:
        try:
            status = work() or 0
        except SystemExit as ended:  # after --help
            status = ended.code
        sys.stdout.flush()
    except HdnnError as error:
        print(f"{prog}: error: {error}", file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        status = 130
    except BrokenPipeError:
        print(f"{prog}: error: the reader of the output pipe ended early; see its log", file=sys.stderr)
        status = 141
    except OSError as error:
        # Whatever writes a file names it.
        where = error.filename or ("standard output" if error.errno in FULL else "")
        print(f"{prog}: error: {where}{': ' if where else ''}{error.strerror or error}", file=sys.stderr)
        status = 1
    if status:  # what cannot be written must not fail again when the interpreter ends
        try:
            sys.stdout.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        # Dead before other ranks miss this one, so that torchrun blames the right one.
        if "TORCHELASTIC_RUN_ID" in os.environ:
            sys.stderr.flush()
            os._exit(status if isinstance(status, int) else 1)
    sys.exit(status)


def script(options: type, main: Callable[[Any], int | None], prog: str, description: str) -> NoReturn:
    """Run a program that is no subcommand (of local/ or benchmarks/) with the manners of one."""

    def work() -> int | None:
        return main(parse(options, prog=prog, description=description))

    leave(work, prog)
