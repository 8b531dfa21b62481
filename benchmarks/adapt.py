"""Speaker adaptation: labels x what moves x iterations, as a table and a figure (the paper's table 5, in a recipe directory).

    cd egs/ami/s5 && . ./path.sh
    python3 ../../../benchmarks/adapt.py --teacher exp/mini_mono/hdnn-h256l10 \\
      --decode-opts "--beam 11.0 --lattice-beam 6.0 --max-active 2000" \\
      data/mini_mono/fbank exp/mini_mono/mono/graph exp/mini_mono/adapt exp/mini_mono/hdnn-h128l10 exp/mini_mono/hdnn-h128l10_kd

Networks must have been decoded (decode_dev, decode_eval; --parts). Those whose names differ in `_s<seed>` at the end share a
row: mean ± standard deviation. Runs that are there are not repeated. --iters adds a figure of the first row's dev WER (mean over
its seeds) after so many iterations; --lang adds adaptation to the true transcripts, the upper bound.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hdnn_nnet.adapt.store import AdaptDir
from hdnn_nnet.cli import script
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option
from hdnn_nnet.score.best import WerFile, best, read_wer_file, read_wer_files
from hdnn_nnet.score.figures import pyplot, save
from hdnn_nnet.score.summary import mean_and_spread, without_seed

TITLES = {"hard": "hypotheses (CE)", "soft": "teacher (KD)", "supervised": "true transcripts"}


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Experiment."""

    data: str = argument("directory above dev and eval")
    graph: str = argument("decoding graph")
    work: Path = argument("directory to write")
    models: tuple[Path, ...] = argument("model directories", nargs="+")
    teacher: str = option("", "for soft labels; empty: none")
    hypotheses: bool = option(True, "adapt to what each network recognised")
    lang: str = option("", "lang directory, to align the true transcripts; empty: no upper bound")
    updates: str = option("gates all", "groups that move, in quotes")
    iters: str = option("", "numbers of iterations for the figure, such as '1 2 3 5 7 10'")
    parts: str = option("dev eval", "sets, in quotes; weight and penalty are chosen on the first")
    nj: int = option(1, "parallel jobs", at_least=1)
    adapt_opts: str = option("", "further options of adapt.sh, in quotes")
    decode_opts: str = option("", "options of decode.sh, as the networks were decoded, in quotes")


@dataclass(frozen=True)
class Setting:
    """One adaptation of one network to both sets."""

    model: Path
    labels: str  # hard, soft or supervised
    update: str
    iters: int

    @property
    def name(self) -> str:
        return f"{self.model.name}_{self.labels}_{self.update}_{self.iters}"


class Experiment:
    """Runs the steps that are not done yet."""

    def __init__(self, options: Options) -> None:
        self.options, self.work = options, options.work
        self.parts = options.parts.split()

    def step(self, *words: str) -> None:
        print("+", *words, file=sys.stderr, flush=True)
        subprocess.run([f"steps_py/{words[0]}", *words[1:]], check=True, stdout=sys.stderr)

    def source(self, setting: Setting, part: str) -> str:
        """The labels of a set; alignments are made where they are missing."""
        if setting.labels == "soft":
            return self.options.teacher
        if setting.labels == "hard":
            return str(setting.model / f"decode_{part}")
        ali = self.work / f"{setting.model.name}_ali_{part}"
        if not (ali / "num_jobs").is_file():
            data = f"{self.options.data}/{part}"
            self.step("align.sh", "--nj", str(self.options.nj), data, self.options.lang, str(setting.model), str(ali))
        return str(ali)

    def adapt(self, setting: Setting, parts: Sequence[str]) -> Path:
        """Adapt, decode and score; returns the directory with decode_dev (and decode_eval)."""
        folder = self.work / setting.name
        lmwt = str(best(read_wer_files(setting.model / f"decode_{self.parts[0]}")).lmwt)
        for part in parts:
            data, adapted, decoded = f"{self.options.data}/{part}", folder / part, folder / f"decode_{part}"
            if not (adapted / "index.json").is_file():
                self.step(
                    "adapt.sh", "--nj", str(self.options.nj), "--labels", setting.labels, "--update", setting.update,
                    "--iters", str(setting.iters), "--lmwt", lmwt, *self.options.adapt_opts.split(),
                    data, str(setting.model), self.source(setting, part), str(adapted),
                )  # fmt: skip
            owner = AdaptDir(adapted).content["model"]
            if Path(owner).resolve() != setting.model.resolve():
                raise HdnnError(
                    f"{adapted} is of {owner}, not of {setting.model}; give another directory than {self.work}"
                )
            if not (decoded / "scoring_kaldi/best_wer").is_file():
                self.step(
                    "decode.sh", "--nj", str(self.options.nj), "--srcdir", str(setting.model), "--adapt-dir", str(adapted),
                    *self.options.decode_opts.split(), self.options.graph, data, str(decoded),
                )  # fmt: skip
        return folder

    def first(self, folders: Sequence[Path]) -> list[WerFile]:
        """The best result of each directory on the first set."""
        return [best(read_wer_files(folder / f"decode_{self.parts[0]}")) for folder in folders]

    def wers(self, folders: Sequence[Path]) -> list[str]:
        """Cells of the first set's best WERs and where they are, and the second's at the same weights and penalties."""
        first = self.first(folders)
        cells = ["; ".join(f"{w.lmwt}, {w.penalty}" for w in first), mean_and_spread([w.wer for w in first])]
        for part in self.parts[1:]:
            files = [folder / f"decode_{part}" / w.path.name for folder, w in zip(folders, first, strict=True)]
            cells.append(mean_and_spread([read_wer_file(f).wer for f in files if f.is_file()]))
        return cells

    def row(self, settings: Sequence[Setting], folders: Sequence[Path]) -> list[str]:
        """Cells of one kind of adaptation, done to the networks of all seeds."""
        stores = [AdaptDir(f / part) for f in folders for part in self.parts if (f / part / "index.json").is_file()]
        entries = [entry for store in stores for entry in store.speakers.values()]
        adapted = sum("file" in entry for entry in entries)
        seconds = sum(entry["seconds"] for entry in entries) / len(entries)
        s = settings[0]
        head = [without_seed(s.model.name), s.labels, s.update, str(s.iters), str(len(settings))]
        return [*head, *self.wers(folders), f"{adapted} of {len(entries)}", f"{seconds:.2f}"]


def draw(path: str, curves: dict[str, dict[int, list[float]]], base: list[float]) -> None:
    """WERs of all seeds by number of iterations: mean and spread of each kind of adaptation (dashed: one number only)."""
    figure, axes = pyplot().subplots(figsize=(6.4, 4.4), layout="constrained")
    for number, (name, points) in enumerate(curves.items()):
        if len(points) > 1:
            values = [base, *points.values()]
            spreads = [statistics.stdev(v) if len(v) > 1 else 0.0 for v in values]
            means = [statistics.mean(v) for v in values]
            axes.errorbar([0, *points], means, yerr=spreads, fmt="o-", capsize=3, color=f"C{number}", label=name)
        else:
            iters, wers = next(iter(points.items()))
            label = f"{name}, {iters} iterations"
            axes.axhline(statistics.mean(wers), color=f"C{number}", linestyle="--", label=label)
    axes.set(xlabel="iterations", ylabel="dev WER %")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    save(figure, path)


def main(options: Options) -> None:
    experiment = Experiment(options)
    asked = {"hard": options.hypotheses, "soft": options.teacher, "supervised": options.lang}
    kinds = [labels for labels, wanted in asked.items() if wanted]
    parts = [f"{part} WER %" for part in experiment.parts]
    header = ["model", "labels", "update", "iters", "seeds", "LMWT, WIP", *parts, "speakers", "s a speaker"]
    rows = [header, ["---"] * len(header)]
    groups: dict[str, list[Path]] = {}
    for model in options.models:
        groups.setdefault(without_seed(model.name), []).append(model)
    for name, models in groups.items():
        rows.append([name, "none", "-", "0", str(len(models)), *experiment.wers(models), "-", "-"])
        for labels in kinds:
            for update in options.updates.split():
                settings = [Setting(model, labels, update, 5) for model in models]
                folders = [experiment.adapt(setting, experiment.parts) for setting in settings]
                rows.append(experiment.row(settings, folders))
    if options.iters:
        models, dev = next(iter(groups.values())), experiment.parts[:1]
        curves: dict[str, dict[int, list[float]]] = {}
        for labels in kinds:
            for update in options.updates.split():
                points = curves.setdefault(f"{TITLES[labels]}, {update}", {})
                for n in [5] if labels == "supervised" else map(int, options.iters.split()):
                    folders = [experiment.adapt(Setting(model, labels, update, n), dev) for model in models]
                    points[n] = [w.wer for w in experiment.first(folders)]
        base = [w.wer for w in experiment.first(models)]
        draw(str(experiment.work / "iterations.png"), curves, base)
        print(json.dumps({"base": base, "curves": curves}), file=sys.stderr)
    print("\n".join("| " + " | ".join(cells) + " |" for cells in rows))


if __name__ == "__main__":
    script(Options, main, "benchmarks/adapt.py", __doc__ or "")
