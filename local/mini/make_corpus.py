"""Make the mini corpus: meetings in parallel, resumable; README.txt and corpus.json are written last."""

import hashlib
import json
import logging
import multiprocessing
import os
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from hdnn_nnet.atomic import write_text
from hdnn_nnet.cli import script
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option

from .config import DEFAULT_HOURS, SETS, Config
from .grammar import GRAMMAR_FILE, meeting_grammar
from .meeting import ANNOTATIONS, done_file, write_meeting
from .nxt import meetings_xml, participants_xml
from .plan import plan_corpus
from .tokens import Token
from .voices import Speaker, cast_speakers

log = logging.getLogger(__name__)

README = """\
A synthetic corpus in the layout of the AMI Meeting Corpus. Not AMI data.

No person speaks here: the voices are espeak-ng's, the sentences are drawn from a grammar written for this purpose,
and the meeting names are AMI's only so that AMI's official partition and tools apply. Speaker numbers from 900 on do
not occur in AMI. Do not mix these files with genuine AMI recordings, and do not report results on them as AMI results.

Audio: <meeting>/audio/<meeting>.Headset-<channel>.wav, 16 kHz, 16 bit, one channel.
Annotations: {annotations}/ (words, segments, corpusResources).
Settings, counts and each headset's conditions: corpus.json.

The synthesiser espeak-ng is free software under the GNU General Public License, version 3 or later; that licence is
about the program, not about sound made with it. The makers of this corpus claim no rights in its text and audio: use
them as you like (CC0 1.0), without warranty.
"""


def make_corpus(config: Config, corpus: Path, nj: int = 1) -> dict:
    """Write the corpus into `corpus` and return what corpus.json holds; finished meetings are kept."""
    settings = json.loads(json.dumps({**asdict(config), "sources_sha256": _sources_hash()}))
    _check_settings(corpus, settings)
    cast = cast_speakers(config)
    plans = [(set_name, meeting) for set_name in SETS for meeting in config.meetings(set_name)]
    todo = [(set_name, meeting) for set_name, meeting in plans if not done_file(corpus, meeting).is_file()]
    if len(todo) < len(plans):
        log.info("%d of %d meetings are there already", len(plans) - len(todo), len(plans))
    make_meetings(config, todo, cast, corpus, nj)
    shutil.rmtree(corpus / ".partial", ignore_errors=True)
    records = write_resources(corpus, plans, cast)
    write_text(corpus / "README.txt", README.format(annotations=ANNOTATIONS))
    summary = {"settings": settings, "sets": _counts(config, cast, records), "meetings": records}
    write_text(corpus / "corpus.json", json.dumps(summary, indent=1) + "\n")
    return summary


def write_resources(corpus: Path, plans: Sequence[tuple[str, str]], cast: dict[str, list[Speaker]]) -> dict[str, dict]:
    """meetings.xml and participants.xml of finished meetings (set, meeting); their records are returned."""
    records = {meeting: json.loads(done_file(corpus, meeting).read_text()) for _, meeting in plans}
    resources = corpus / ANNOTATIONS / "corpusResources"
    rows = [(meeting, set_name, records[meeting]["duration_s"], cast[meeting]) for set_name, meeting in plans]
    write_text(resources / "meetings.xml", meetings_xml(rows))
    write_text(resources / "participants.xml", participants_xml([s for _, m in plans for s in cast[m]]))
    return records


def make_meetings(
    config: Config, todo: Sequence[tuple[str, str]], cast: dict[str, list[Speaker]], corpus: Path, nj: int
) -> None:
    """Audio and annotations of the meetings in `todo` (set, meeting), and a record of each in `.done`."""
    if not todo:
        return
    # A process for each meeting: the synthesiser keeps state, and the result must not depend on nj. They are forked
    # from a server that has the modules but has not used the synthesiser.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["scipy.signal", "soundfile", "mini.meeting"])
    pool = ProcessPoolExecutor(nj, mp_context=context, max_tasks_per_child=1)
    terminal = sys.stderr.isatty()
    try:
        jobs = {pool.submit(write_meeting, config, s, meeting, cast[meeting], corpus): meeting for s, meeting in todo}
        progress = tqdm(as_completed(jobs), total=len(jobs), desc="meetings", disable=not terminal)
        for count, job in enumerate(progress, 1):
            record = job.result()
            if not terminal:
                log.info("%s: %.1f min of speech (%d of %d)", jobs[job], record["speech_s"] / 60, count, len(jobs))
    except BrokenProcessPool as error:
        raise HdnnError(
            f"{corpus}: a process that made a meeting was killed (memory?); run again with less --nj"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _check_settings(corpus: Path, settings: dict) -> None:
    """Refuse a directory that holds something else than a corpus of these settings."""
    path = corpus / ".done" / "settings.json"
    if path.is_file():
        if json.loads(path.read_text()) != settings:
            raise HdnnError(
                f"{corpus} holds a mini corpus made with other settings; remove it or name another directory"
            )
    elif corpus.exists() and any(
        not path.name.endswith(".lock") for path in corpus.iterdir()
    ):  # the step holds it already
        raise HdnnError(f"{corpus} exists and is not a mini corpus; name another directory")
    else:
        write_text(path, json.dumps(settings, indent=1) + "\n")


def _sources_hash() -> str:
    """Of the grammar and the code, so that a corpus made by other versions of them is noticed."""
    digest = hashlib.sha256(GRAMMAR_FILE.read_bytes())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _counts(config: Config, cast: dict[str, list[Speaker]], records: dict[str, dict]) -> dict[str, dict]:
    words: dict[str, list[str]] = {set_name: [] for set_name in SETS}
    for set_name, _, turns in plan_corpus(config, cast):
        tokens = [token for turn in turns for sentence in turn.sentences for token in sentence]
        words[set_name] += [_normal(token) for token in tokens if token.kind == "w"]
    vocabulary = set(words["train"])
    invented = {word.lower() for word in meeting_grammar().terminals("oov_name")}
    counts = {}
    for set_name in SETS:
        own = [record for record in records.values() if record["set"] == set_name]
        total = max(1, len(words[set_name]))
        counts[set_name] = {
            "meetings": len(own),
            "speakers": sum(len(record["speakers"]) for record in own),
            "segments": sum(record["segments"] for record in own),
            "words": len(words[set_name]),
            "vocabulary": len(set(words[set_name])),
            "hours_speech": round(sum(record["speech_s"] for record in own) / 3600, 4),
            "hours_meetings": round(sum(record["duration_s"] for record in own) / 3600, 4),
            "oov_percent": round(100 * sum(word not in vocabulary for word in words[set_name]) / total, 2),
            "invented_percent": round(100 * sum(word in invented for word in words[set_name]) / total, 2),
        }
    return counts


def _normal(token: Token) -> str:
    return token.text.lower()


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Corpus."""

    corpus: Path = argument("directory to write")
    hours_train: float = option(DEFAULT_HOURS, "hours of training speech", at_least=0.001, at_most=100)
    seed: int = option(1, "another seed makes another corpus", at_least=0)
    nj: int = option(2, "processes", at_least=1)


def main(options: Options) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # the processes are the parallelism
    summary = make_corpus(Config(hours_train=options.hours_train, seed=options.seed), options.corpus, options.nj)
    for set_name, counts in summary["sets"].items():
        log.info(
            "%s: %d meetings, %d speakers, %d annotated segments, %d whole words (%d different), %.1f min of speech, OOV %.1f %%",
            *(set_name, counts["meetings"], counts["speakers"], counts["segments"], counts["words"]),
            *(counts["vocabulary"], counts["hours_speech"] * 60, counts["oov_percent"]),
        )


if __name__ == "__main__":
    script(Options, main, "make_mini_corpus.sh", "Synthesise meetings in AMI's layout.")
