"""Whether a difference is real: intervals and tests beside Kaldi, sc_stats and kaldialign, and beside brute force."""

import itertools
from pathlib import Path

import kaldialign
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.score.best import choose, read_wer_files
from hdnn_nnet.score.bootstrap import difference_of_means, interval, replicate, seeds_interval
from hdnn_nnet.score.compare import compare
from hdnn_nnet.score.errors_by_utterance import Scored, UtteranceErrors
from hdnn_nnet.score.intervals import write_intervals
from hdnn_nnet.score.matched_pairs import matched_pairs, segments
from hdnn_nnet.score.text import read_text
from hdnn_nnet.score.wer import UtteranceCount, compute_wer, count_utterances, total

DATA = Path(__file__).parent / "data/compare"
TEXTS = {path.stem: read_text(path) for path in DATA.glob("*.txt")}
#: second system -> its interval and P(second better) by compute-wer-bootci; segments and Z by sc_stats; the first is `ce`
KALDI_CE = (13.37, 18.76)
REFERENCE = {"teacher": ((12.97, 18.37), 68.49, 147, 0.521), "adapted": ((11.39, 16.44), 99.99, 139, 3.522)}


def scored(name: str, reference: str = "reference") -> Scored:
    speakers = {key: "_".join(key.split("_")[:4]) for key in TEXTS["reference"]}
    return Scored(TEXTS[reference], speakers, TEXTS[name])


@pytest.mark.parametrize("name", REFERENCE)
def test_kaldi_and_sctk_say_the_same(name: str) -> None:
    found = compare(scored("ce"), scored(name))
    bounds, improved, count, z = REFERENCE[name]
    first, second = found.bootstraps[0].wers
    assert (first.low, first.high) == pytest.approx(KALDI_CE, abs=0.12)
    assert (second.low, second.high) == pytest.approx(bounds, abs=0.12)
    assert found.bootstraps[0].improved == pytest.approx(improved, abs=1.5)  # Kaldi's own draws
    assert (found.pairs.segments, found.pairs.z) == (count, pytest.approx(z, abs=5e-4))
    assert found.verdict() == {"teacher": "within noise", "adapted": "the second is better"}[name]
    assert compare(scored(name), scored("ce")).pairs.z == pytest.approx(-z, abs=5e-4)


def test_a_second_library_agrees() -> None:
    keys = list(TEXTS["reference"])
    lists = [[TEXTS[name][key] for key in keys] for name in ("reference", "ce", "teacher")]
    expected = kaldialign.bootstrap_wer_ci(*lists, replications=3000)
    drawn = compare(scored("ce"), scored("teacher")).bootstraps[0]
    for ours, theirs in zip(drawn.wers, ("system1", "system2"), strict=True):
        bounds = (100 * expected[theirs]["ci95min"], 100 * expected[theirs]["ci95max"])
        assert (ours.low, ours.high) == pytest.approx(bounds, abs=0.25)
    assert drawn.improved == pytest.approx(100 * expected["p_s2_improv_over_s1"], abs=3)


def errors_of(rows: list[tuple[str, int, int]]) -> UtteranceErrors:
    speakers, errors, words = zip(*rows, strict=True)
    return UtteranceErrors(tuple(map(str, range(len(rows)))), np.array(errors), np.array(words), speakers)


@pytest.mark.parametrize("by", ["utterance", "speaker"])
def test_all_draws_by_brute_force(by: str) -> None:
    """Four utterances of three speakers have 256 and 27 draws, all equally likely."""
    rows = [("a", 1, 4), ("b", 3, 5), ("a", 0, 7), ("c", 6, 6)]
    units = [[row] for row in rows] if by == "utterance" else [[r for r in rows if r[0] == s] for s in "abc"]
    exact = []
    for draw in itertools.product(units, repeat=len(units)):
        chosen = [row for unit in draw for row in unit]
        exact.append(100 * sum(r[1] for r in chosen) / sum(r[2] for r in chosen))
    drawn = replicate([errors_of(rows)], by, 20000)[:, 0]
    assert set(np.round(drawn, 9)) <= set(np.round(exact, 9))
    assert drawn.mean() == pytest.approx(np.mean(exact), rel=0.02)
    assert drawn.std() == pytest.approx(np.std(exact), rel=0.02)
    assert np.array_equal(drawn, replicate([errors_of(rows)], by, 20000)[:, 0])  # the same seed
    half = interval(50.0, drawn).high - 50.0
    assert half == pytest.approx(1.96 * np.std(exact), rel=0.02)


def test_blocks_of_draws_are_one_sequence(monkeypatch: pytest.MonkeyPatch) -> None:
    systems = [errors_of([("a", i % 3, 4) for i in range(10)])]
    whole = replicate(systems, times=100)
    monkeypatch.setattr("hdnn_nnet.score.bootstrap._BLOCK", 70)
    np.testing.assert_array_equal(replicate(systems, times=100), whole)


def test_both_sources_of_chance() -> None:
    """Without chance in the test set, what remains is Student's interval of the seeds; without seeds, the bootstrap's."""
    from scipy import stats

    wers, still = [30.0, 31.0, 33.0], np.full(10, 31.0)
    low, high = stats.t.interval(0.95, 2, loc=np.mean(wers), scale=stats.sem(wers))
    found = seeds_interval(wers, still)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-6)
    drawn = np.random.default_rng(0).normal(31, 2, 100000)
    assert seeds_interval([31.0, 31.0], drawn).high == pytest.approx(31 + 1.96 * 2, abs=0.03)
    assert seeds_interval(wers, drawn).high > max(found.high, 31 + 1.96 * 2)
    other = [20.0, 22.0]
    welch = stats.ttest_ind(wers, other, equal_var=False).confidence_interval(0.95)
    apart = difference_of_means(wers, other, np.full(10, 10.33))
    assert (apart.low, apart.high) == pytest.approx((welch.low, welch.high), abs=1e-6)


words = st.lists(st.sampled_from("abc"), max_size=8)


@given(words, words, words)
def test_segments_hold_all_errors(reference: list[str], one: list[str], two: list[str]) -> None:
    found = list(segments(reference, one, two))
    for number, text in enumerate((one, two)):
        # sclite's costs may prefer an alignment with more errors than the fewest
        assert sum(pair[number] for pair in found) >= compute_wer({"u": reference}, {"u": text}).errors
    assert all(any(pair) for pair in found)
    assert bool(found) == (reference != one or reference != two)


def test_equal_systems() -> None:
    assert matched_pairs(TEXTS["reference"], TEXTS["ce"], TEXTS["ce"]).p == 1
    assert compare(scored("ce"), scored("ce")).verdict() == "within noise"
    assert total(count_utterances(TEXTS["reference"], TEXTS["ce"])).errors == 248


def test_what_cannot_be_compared() -> None:
    other = Scored({key: [*text, "MORE"] for key, text in TEXTS["reference"].items()}, {}, TEXTS["ce"])
    with pytest.raises(HdnnError, match=r"references of \S+ differ; score both with the same data and filter"):
        compare(scored("ce"), other)
    with pytest.raises(HdnnError, match="no utterance with words in common"):
        compare(scored("ce"), Scored({"x": ["A"]}, {}, {"x": ["A"]}))


def test_one_utterance_says_nothing_about_chance(tmp_path: Path) -> None:
    """From it the same set would be drawn again and again: an interval of no width."""
    key = next(iter(TEXTS["reference"]))
    one = Scored({key: TEXTS["reference"][key], "silent": []}, {}, {key: ["UM"], "silent": []})
    with pytest.raises(HdnnError, match="one utterance with words in common, which says nothing about chance"):
        compare(one, scored("ce"))
    counts = count_utterances(one.reference, one.hypothesis)
    write_intervals(tmp_path, {(9, "0.0"): counts}, {}, (9, "0.0"), 100)
    assert not list(tmp_path.iterdir())
    write_intervals(tmp_path, {(9, "0.0"): scored_counts("ce")}, {}, (9, "0.0"), 100)
    assert (tmp_path / "wer_intervals").is_file()


def scored_counts(name: str) -> dict[str, UtteranceCount]:
    return count_utterances(TEXTS["reference"], TEXTS[name])


def decode_dir(folder: Path, hypotheses: dict[str, dict[str, list[str]]]) -> Path:
    """A scored directory; hypotheses by `weight_penalty`."""
    scoring = folder / "scoring_kaldi"
    scoring.mkdir(parents=True)
    (scoring / "test_filt.txt").write_text((DATA / "reference.txt").read_text())
    for name, text in hypotheses.items():
        weight, penalty = name.split("_")
        (folder / f"wer_{name}").write_text(compute_wer(TEXTS["reference"], text).report())
        path = scoring / f"penalty_{penalty}/{weight}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(" ".join([key, *line]) + "\n" for key, line in text.items()))
    return folder


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("ce", "adapted"):
        for part in ("dev", "eval"):
            decode_dir(tmp_path / name / f"decode_{part}", {"9_0.0": TEXTS[name], "10_0.0": TEXTS["ce"]})
    assert call("compare", [str(tmp_path / name / "decode_dev") for name in ("ce", "adapted")]) == 0
    one = capsys.readouterr().out
    assert " 16.06 % [13.3" in one
    assert "Z = 3.522, p = 0.0004" in one
    assert one.endswith("the second is better\n")
    assert "speakers" not in one  # Kaldi's own scoring leaves no utt2spk
    assert call("compare", [str(tmp_path / name) for name in ("ce", "adapted")]) == 0
    both = capsys.readouterr().out
    assert both.count("MAPSSWE") == 2
    assert "adapted/decode_eval (LM weight 9, penalty 0.0)" in both
    with pytest.raises(HdnnError, match="give two model directories, or two decode directories"):
        call("compare", [str(tmp_path / "ce"), str(tmp_path / "ce/decode_dev")])
    (tmp_path / "ce/decode_dev/scoring_kaldi/test_filt.txt").unlink()
    with pytest.raises(HdnnError, match="does not exist; score again"):
        call("compare", [str(tmp_path / name / "decode_dev") for name in ("ce", "adapted")])


def test_smoothed_choice(tmp_path: Path) -> None:
    """A lucky weight between bad neighbours is not taken."""
    wers = {7: 30.0, 8: 25.0, 9: 31.0, 10: 26.0, 11: 25.5, 12: 26.0}
    for weight, wer in wers.items():
        (tmp_path / f"wer_{weight}_0.0").write_text(f"%WER {wer:.2f} [ 1 / 4, 0 ins, 0 del, 1 sub ]\n")
    files = read_wer_files(tmp_path)
    assert [choose(files, smooth).lmwt for smooth in (0, 1, 2)] == [8, 11, 12]


def test_a_coin_toss_is_called_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two weights that dev cannot tell apart and that matter on eval."""
    close = {"9_0.0": TEXTS["ce"], "10_0.0": TEXTS["teacher"]}
    apart = {"9_0.0": TEXTS["adapted"], "10_0.0": {key: line[:-1] for key, line in TEXTS["ce"].items()}}
    dev, clear = decode_dir(tmp_path / "dev", close), decode_dir(tmp_path / "clear", apart)
    evaluated = decode_dir(tmp_path / "eval", apart)
    assert call("best-wer", ["--dev", str(dev), "--eval", str(evaluated)]) == 0
    assert "coin toss: 2 are within one standard error on dev, and eval is 13.92 to" in capsys.readouterr().err
    assert call("best-wer", ["--dev", str(clear), "--eval", str(evaluated)]) == 0
    assert "coin toss" not in capsys.readouterr().err


def test_tables_and_figures_show_what_is_noise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two seeds of one system, another within noise of it, a third that is not."""
    from hdnn_nnet.nn.config import NetworkConfig
    from hdnn_nnet.nn.model_dir import save_model
    from hdnn_nnet.nn.networks import build_network
    from hdnn_nnet.score import plot_wer
    from hdnn_nnet.score.summary import read_result

    worse = {key: line[1:] for key, line in TEXTS["ce"].items()}
    for name, text in (
        ("hdnn_s1", TEXTS["ce"]),
        ("hdnn_s2", TEXTS["teacher"]),
        ("dnn", TEXTS["ce"]),
        ("dnn_bad", worse),
    ):
        save_model(build_network(NetworkConfig(name.split("_")[0], 4, 5, 6, 2)), tmp_path / name)
        decode_dir(tmp_path / name / "decode_dev", {"9_0.0": text})
    folders = [tmp_path / name for name in ("hdnn_s1", "hdnn_s2", "dnn", "dnn_bad")]
    assert call("wer-table", ["--eval=", *map(str, folders)]) == 0
    shown = capsys.readouterr()
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in shown.out.splitlines()]
    assert rows[0][-2:] == ["dev 95 %", "dev WER %"]
    cells = {row[0]: row[-2:] for row in rows[2:]}
    assert cells["hdnn"][1].startswith("15.86 ± ")
    assert [cells[name][0][-1] == "≈" for name in ("hdnn", "dnn", "dnn_bad")] == [False, True, False]
    low, high = map(float, cells["dnn"][0].split()[0].split("-"))
    assert (low, high) == pytest.approx(KALDI_CE, abs=0.12)
    assert "≈: within noise of the lowest WER" in shown.err
    assert call("wer-table", ["--eval=", "--replications=0", *map(str, folders)]) == 0
    assert "95 %" not in capsys.readouterr().out

    pytest.importorskip("matplotlib")
    figure = plot_wer.draw([read_result(folder, evaluation="") for folder in folders], False)
    ends = [bar.get_segments() for container in figure.axes[0].containers for bar in container.lines[2]]
    heights = sorted(segment[1][1] - segment[0][1] for bars in ends for segment in bars)
    assert heights[0] == pytest.approx(high - low, rel=0.2)
    # What reads other features is a line of its own.
    lines = len(figure.axes[0].get_legend_handles_labels()[1])
    (tmp_path / "dnn_bad/feat_opts").write_text("--type=fbank --dither=0\n")
    figure = plot_wer.draw([read_result(folder, evaluation="") for folder in folders], False)
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert len(labels) == lines + 1
    assert [label.endswith(", fbank") for label in labels].count(True) == 1
