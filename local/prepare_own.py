#!/usr/bin/env python3
"""Data directories of one's own recordings: <data-dir>/ihm/{train,dev[,eval]}, and the settings that follow from them.

<source> holds `train`, `dev` and perhaps `eval` (or is one set, from which dev is split off by speaker). Each is a Kaldi data
directory, a folder SPEAKER/anything.wav with .txt beside, a folder with one table (metadata.csv), or lhotse's manifests; or
they are tables beside each other (train.tsv, dev.tsv, as of Common Voice) with the sound files anywhere below.
"""

import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from hdnn_nnet.atomic import write_text
from hdnn_nnet.cli import script
from hdnn_nnet.corpus.folder import UNKNOWN_SPEAKER, files_below, from_folder
from hdnn_nnet.corpus.items import Item, LeftOut
from hdnn_nnet.corpus.kaldi_dir import from_kaldi
from hdnn_nnet.corpus.manifests import from_lhotse
from hdnn_nnet.corpus.options import PrepareOptions
from hdnn_nnet.corpus.prepare import Prepared, prepare
from hdnn_nnet.corpus.quality import common_edge
from hdnn_nnet.corpus.table import from_table
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.copies import originals_by_speaker
from hdnn_nnet.kaldi.split import hold_out
from hdnn_nnet.lock import locked
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, group, option
from hdnn_nnet.text import read_plain

log = logging.getLogger(__name__)

PROGRAM = "prepare_own.py"
#: set -> what its directory may be called
SETS = {"train": ("train", "training"), "dev": ("dev", "valid", "validation"), "eval": ("eval", "test")}
TABLES = ("csv", "tsv")
FEWEST = 20  # utterances of train: with fewer not even monophones can be trained
LEAST_HOURS = 1 / 12


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Data."""

    source: Path = argument("with train and dev (and eval), or one set")
    data_dir: Path = argument("where data directories and settings go")
    dev_percent: float = option(10.0, "share of utterances that become dev where there is none", above=0, below=50)
    split_seed: int = option(777, "of the choice of dev's speakers", at_least=0)
    high_freq: float = option(0.0, "Hz where the filters of the features end; 0: half the sample rate", at_least=0)
    conf: Path = option(Path("conf"), "directory with mfcc.conf and fbank.conf, from which the settings are made")
    prepare: PrepareOptions = group(PrepareOptions)


def read_source(folder: Path, left_out: LeftOut) -> Iterator[Item]:
    """Utterances of one set, whatever form it has.

    Raises:
        HdnnError: several tables, of which it is not clear which one is meant.
    """
    if folder.is_file():
        return from_table(folder, left_out)
    if (folder / "wav.scp").is_file():
        return from_kaldi(folder, left_out)
    manifests = [sorted(folder.glob(f"*{kind}*.jsonl*")) for kind in ("recordings", "supervisions")]
    if all(manifests):
        if any(len(found) > 1 for found in manifests):
            raise HdnnError(
                f"{folder} has several manifests of one kind; keep one of each, or use hdnn data from-lhotse"
            )
        return from_lhotse(manifests[0][0], manifests[1][0], left_out)
    tables = sorted(path for ending in TABLES for path in folder.glob(f"*.{ending}"))
    named = [path for path in tables if path.stem in ("metadata", "transcripts")]
    if len(named or tables) > 1:
        raise HdnnError(
            f"{folder} has several tables ({', '.join(p.name for p in tables)}); call the one that counts metadata.csv"
        )
    return from_table((named or tables)[0], left_out) if tables else from_folder(folder, left_out)


def find_sets(source: Path) -> dict[str, Path]:
    """Set -> its directory or table; only `train` where the source is one set.

    Raises:
        HdnnError: no such directory, a dev or eval without a train, or two tables of one set.
    """
    if not source.is_dir():
        raise HdnnError(
            f"--data '{source}' is no directory; it holds train and dev, or one set of recordings (docs/your-data.md)"
        )
    tables = {}
    for name, names in SETS.items():
        there = [path for n in names for ending in TABLES if (path := source / f"{n}.{ending}").is_file()]
        if len(there) > 1:
            raise HdnnError(f"{source} has {' and '.join(p.name for p in there)}; keep the one that is {name}")
        if there:
            tables[name] = there[0]
    directories = {name: source / n for name, names in SETS.items() for n in reversed(names) if (source / n).is_dir()}
    if tables and "train" in tables:  # whose sound files may be in directories of such names
        directories = {name: path for name, path in directories.items() if name in tables or has_texts(path)}
    found = directories | tables
    if found and "train" not in found:
        raise HdnnError(f"{source} has {', '.join(p.name for p in found.values())}, but no train")
    return {name: found[name] for name in SETS if name in found} or {"train": source}


def has_texts(folder: Path) -> bool:
    """Whether a directory is a set of its own, and not only the sound files of a table."""
    endings = (".txt", *(f".{ending}" for ending in TABLES))
    return any(p.name == "text" or p.suffix in endings or ".jsonl" in p.suffixes for p in files_below(folder))


def by_utterance(items: Iterable[Item]) -> tuple[dict[str, str], dict[str, str]]:
    """utt2spk, and utt2uniq of copies."""
    return {item.key: item.speaker for item in items}, {item.key: item.original for item in items if item.original}


def split_off_dev(items: list[Item], percent: float, seed: int) -> tuple[list[Item], list[Item]]:
    """Train and dev without a common speaker; of a single speaker other utterances, which is said. Copies of dev's go."""
    utt2spk, originals = by_utterance(items)
    speakers = originals_by_speaker(utt2spk, originals)
    train, dev = map(set, hold_out(utt2spk, originals, percent, seed))
    if len(speakers) > 1:
        chosen = sorted(speaker for speaker, utts in speakers.items() if utts[0] in dev)
        log.warning("no dev: split off by speaker (%d of %d: %s)", len(chosen), len(speakers), " ".join(chosen[:8]))
    else:
        log.warning(
            "no dev and one speaker only: dev are other utterances of the same voice; its WER says nothing of other voices"
        )
    return [i for i in items if i.key in train], [i for i in items if i.key in dev]


def check_speakers(sets: dict[str, list[Item]]) -> None:
    """No speaker may be in two sets, and no copies of one utterance.

    Raises:
        HdnnError: one is.
    """
    seen: dict[str, str] = {}
    copied = {item.original: "" for items in sets.values() for item in items if item.original}
    for name, items in sets.items():
        for original in sorted({item.original or item.key for item in items} & copied.keys()):
            other = copied[original] = copied[original] or name
            if other != name:
                raise HdnnError(
                    f"utterance {original}, or copies of it, are in {other} and in {name}; WERs would come out too low"
                )
        for speaker in sorted({item.speaker for item in items}):
            other = seen.setdefault(speaker, name)
            if other != name and speaker == UNKNOWN_SPEAKER:
                log.warning("%s and %s name no speakers; if they share some, WERs come out too low", other, name)
            elif other != name:
                raise HdnnError(
                    f"speaker {speaker} is in {other} and in {name}; WERs would come out too low: keep them in one"
                )


def gmm_sizes(hours: float) -> str:
    """Leaves and Gaussians of the GMMs: the mini corpus's at 0.75 hours and AMI's at 78, with a power of the hours between."""
    leaves = max(50, round(465 * hours**0.545))
    gaussians = round(leaves * max(8.0, 9.9 * hours**0.11))
    first = f'"{round(0.75 * leaves)} {round(0.75 * gaussians)}"' if hours < 10 else f'"{leaves} {gaussians}"'
    last = f'"{leaves} {gaussians}"'
    sizes = f"tri1={first}\ntri2a={first}\ntri3a={last}\ntri4a={last}\n"
    return f"# Leaves and Gaussians for {hours:.2f} hours of training speech.\n{sizes}"


def write_settings(options: Options, train: Prepared) -> None:
    """`conf/{mfcc,fbank,gmm}.conf` in the data directory."""
    changes = {"--sample-frequency": f"{train.rate}"}
    if options.high_freq:
        if options.high_freq > train.rate / 2:
            raise HdnnError(f"--high-freq {options.high_freq:g} is above half the sample rate, {train.rate / 2:g}")
        changes["--high-freq"] = f"{options.high_freq:g}"
    for kind in ("mfcc", "fbank"):
        lines = read_plain(options.conf / f"{kind}.conf")
        kept = [line for line in lines if line.split("=")[0] not in changes]
        write_text(
            options.data_dir / f"conf/{kind}.conf", "\n".join([*kept, *(f"{k}={v}" for k, v in changes.items())]) + "\n"
        )
    write_text(options.data_dir / "conf/gmm.conf", gmm_sizes(train.seconds / 3600))


def check_source(options: Options) -> None:
    """A data directory belongs to one source, and is not in it.

    Raises:
        HdnnError: it was made from another, or holds it.
    """
    path, here = options.data_dir / "source", str(options.source.resolve())
    if options.source.resolve().is_relative_to(options.data_dir.resolve()):
        raise HdnnError(f"{options.source} is in {options.data_dir}, which will be written; give another --name")
    if path.is_file() and path.read_text(encoding="utf-8").strip() != here:
        raise HdnnError(
            f"{options.data_dir} was made from {path.read_text(encoding='utf-8').strip()}; give this one another --name"
        )


def remember_source(options: Options, sets: Iterable[str]) -> None:
    """Write the name of the source.

    Raises:
        HdnnError: an earlier state of it had a set that is not there any more.
    """
    for name in SETS.keys() - set(sets):
        if (options.data_dir / "ihm" / name).exists():
            raise HdnnError(
                f"{options.data_dir}/ihm/{name} is there, but {options.source} has no {name} any more; give another --name, or "
                "remove it"
            )
    write_text(options.data_dir / "source", f"{options.source.resolve()}\n")


def main(options: Options) -> None:
    with locked(options.data_dir, PROGRAM):
        prepare_sets(options)


def prepare_sets(options: Options) -> None:
    """All data directories and the settings.

    Raises:
        HdnnError: bad input.
    """
    found = find_sets(options.source)
    left_out = {name: LeftOut() for name in found}
    check_source(options)
    sets = {name: list(read_source(folder, left_out[name])) for name, folder in found.items()}
    for name, items in sets.items():
        total = len(items) + left_out[name].counts.total()
        left_out[name].check(total, options.prepare.max_left_out, str(found[name]))
    if len(sets["train"]) < FEWEST:
        raise HdnnError(
            f"{found['train']}: {len(sets['train'])} utterances in all, at least {FEWEST} are needed to train anything, and "
            "some hours for a model that is of use (docs/your-data.md)"
        )
    one_voice = False
    if "dev" not in sets:
        one_voice = len(originals_by_speaker(*by_utterance(sets["train"]))) == 1
        sets["train"], dev = split_off_dev(sets["train"], options.dev_percent, options.split_seed)
        sets = {"train": sets["train"], "dev": dev, **{n: s for n, s in sets.items() if n == "eval"}}
        found["dev"], left_out["dev"] = found["train"], LeftOut()
    check_speakers({name: items for name, items in sets.items() if not (one_voice and name == "dev")})
    remember_source(options, sets)
    prepared: dict[str, Prepared] = {}
    for name, items in sets.items():
        # The rate of train holds for all: features of one model have one rate.
        how = options.prepare if name == "train" else replace(options.prepare, rate=prepared["train"].rate)
        target = options.data_dir / "ihm" / name
        prepared[name] = prepare(items, target, how, left_out[name], str(found[name]))
    train = prepared["train"]
    if train.seconds < 3600 * LEAST_HOURS:
        log.warning("only %.1f minutes of training speech: enough to see that everything runs", train.seconds / 60)
    edge = common_edge(train.qualities, train.rate)
    if edge < train.rate / 2 and not options.high_freq:
        log.warning(
            "nothing above %.0f Hz in train; the filters stay as they are: limiting them (--high-freq) cost words where it was "
            "tried (docs/your-data.md)",
            edge,
        )
    write_settings(options, train)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    script(Options, main, PROGRAM, __doc__ or "")
