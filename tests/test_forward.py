"""The forward program keeps the contract on log-likelihoods."""

import io
import shutil
import subprocess
import sys
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import torch

from hdnn_nnet.cli import call
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.nn.model_dir import load_model
from tests.support.small_task import DIM, PDFS, make


@pytest.fixture(scope="module")
def model_and_data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("forward")
    data_tr, data_cv, ali = make(folder)
    options = ["--network", "hdnn-h8l3", "--splice", "2", "--max-iters", "1", "--learn-rate", "0.01"]
    call("train ce", [*options, str(data_tr), str(data_cv), str(ali), str(ali), str(folder / "model")])
    return folder / "model", data_tr


def expected(model_dir: Path, features: np.ndarray) -> np.ndarray:
    """Log-softmax minus log-prior by the definition, in float64."""
    model = load_model(model_dir).double()
    with torch.no_grad():
        logits = model(torch.from_numpy(features.astype(np.float64))).numpy()
    words = (model_dir / "ali_train_pdf.counts").read_text().split()[1:-1]
    counts = np.array(words, dtype=np.float64)
    posteriors = np.exp(logits - logits.max(1, keepdims=True))
    posteriors /= posteriors.sum(1, keepdims=True)
    return np.log(posteriors) - np.log(counts / counts.sum())


def test_stdout_holds_the_ark_and_nothing_else(model_and_data: tuple[Path, Path]) -> None:
    model_dir, data = model_and_data
    command = [
        sys.executable,
        "-m",
        "hdnn_nnet",
        "forward",
        "--precision",
        "fp32",
        str(model_dir),
        str(data),
        "ark:-",
    ]
    done = subprocess.run(command, capture_output=True, check=True)
    stream = io.BytesIO(done.stdout)
    written = dict(kaldiio.load_ark(stream))
    assert stream.read() == b""
    reader = FeatureReader(data)
    assert list(written) == reader.utts
    for utt, features in reader:
        matrix = written[utt]
        assert matrix.dtype == np.float32
        assert matrix.shape == (len(features), PDFS)
        np.testing.assert_allclose(matrix, expected(model_dir, features), atol=2e-5)
    assert b"Done 20 utterances" in done.stderr


@pytest.mark.parametrize("batch", [1, 100, 10**6])
def test_batches_change_nothing(batch: int, model_and_data: tuple[Path, Path], tmp_path: Path) -> None:
    model_dir, data = model_and_data
    call(
        "forward",
        ["--batch-frames", str(batch), "--precision", "fp32", str(model_dir), str(data), f"ark:{tmp_path}/x.ark"],
    )
    for utt, matrix in kaldiio.load_ark(str(tmp_path / "x.ark")):
        np.testing.assert_allclose(matrix, expected(model_dir, FeatureReader(data)[utt]), atol=2e-5)


def test_outputs_and_prior_scale(model_and_data: tuple[Path, Path], tmp_path: Path) -> None:
    model_dir, data = model_and_data
    result = {}
    for name, options in {
        "loglikes": [],
        "half": ["--prior-scale", "0.5"],
        "logposteriors": ["--output", "logposteriors"],
        "posteriors": ["--output", "posteriors"],
        "logits": ["--output", "logits"],
    }.items():
        call("forward", [*options, "--precision", "fp32", str(model_dir), str(data), f"ark:{tmp_path}/{name}.ark"])
        result[name] = next(iter(kaldiio.load_ark(str(tmp_path / f"{name}.ark"))))[1]
    np.testing.assert_allclose(result["posteriors"].sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.log(result["posteriors"]), result["logposteriors"], atol=1e-4)
    np.testing.assert_allclose(result["half"], (result["loglikes"] + result["logposteriors"]) / 2, atol=1e-5)
    np.testing.assert_allclose(np.ptp(result["logits"] - result["logposteriors"], axis=1), 0, atol=1e-4)


def test_features_from_a_pipe(model_and_data: tuple[Path, Path], tmp_path: Path) -> None:
    model_dir, data = model_and_data
    call("forward", [str(model_dir), f"ark:cat {data}/feats.ark |", f"ark:{tmp_path}/pipe.ark"])
    call("forward", [str(model_dir), str(data), f"ark:{tmp_path}/dir.ark"])
    assert (tmp_path / "pipe.ark").read_bytes() == (tmp_path / "dir.ark").read_bytes()


def test_prior_counts_are_preferred(model_and_data: tuple[Path, Path], tmp_path: Path) -> None:
    model_dir, data = model_and_data
    copy = tmp_path / "model"
    shutil.copytree(model_dir, copy)
    (copy / "prior_counts").write_text(" [ " + " ".join(["7"] * PDFS) + " ]\n")
    call("forward", [str(copy), str(data), f"ark:{tmp_path}/uniform.ark"])
    call("forward", ["--output", "logposteriors", str(copy), str(data), f"ark:{tmp_path}/post.ark"])
    uniform = next(iter(kaldiio.load_ark(str(tmp_path / "uniform.ark"))))[1]
    posteriors = next(iter(kaldiio.load_ark(str(tmp_path / "post.ark"))))[1]
    np.testing.assert_allclose(uniform - posteriors, np.log(PDFS), atol=1e-5)


def test_wrong_dimension_missing_and_damaged_files(model_and_data: tuple[Path, Path], tmp_path: Path) -> None:
    model_dir, data = model_and_data
    kaldiio.save_ark(str(tmp_path / "wide.ark"), {"a": np.zeros((4, DIM + 1), np.float32)})
    with pytest.raises(HdnnError, match=f"utterance a has {DIM + 1} features a frame but the network takes {DIM}"):
        call("forward", [str(model_dir), f"ark:{tmp_path}/wide.ark", "ark:/dev/null"])
    bad = tmp_path / "bad"
    shutil.copytree(model_dir, bad)
    (bad / "final.safetensors").write_bytes((bad / "final.safetensors").read_bytes()[:200])
    with pytest.raises(HdnnError, match=r"final\.safetensors( is damaged|, which is too small)"):
        call("forward", [str(bad), str(data), "ark:/dev/null"])
    (bad / "final.safetensors").unlink()
    with pytest.raises(HdnnError, match=r"final.safetensors does not exist"):
        call("forward", [str(bad), str(data), "ark:/dev/null"])
    (bad / "model.json").write_text("{}")
    with pytest.raises(HdnnError, match=r"model.json"):
        call("forward", [str(bad), str(data), "ark:/dev/null"])


def test_weights_of_another_network(model_and_data: tuple[Path, Path], tmp_path: Path) -> None:
    model_dir, data = model_and_data
    bad = tmp_path / "bad"
    shutil.copytree(model_dir, bad)
    text = (bad / "model.json").read_text()
    (bad / "model.json").write_text(text.replace('"width": 8', '"width": 9'))
    with pytest.raises(HdnnError, match="has shape"):
        call("forward", [str(bad), str(data), "ark:/dev/null"])


def test_truncated_features_fail(model_and_data: tuple[Path, Path], tmp_path: Path) -> None:
    model_dir, data = model_and_data
    short = tmp_path / "short.ark"
    short.write_bytes((data / "feats.ark").read_bytes()[:-20])
    command = [sys.executable, "-m", "hdnn_nnet", "forward", str(model_dir), f"ark:{short}", "ark:-"]
    done = subprocess.run(command, capture_output=True, text=False, check=False)
    assert done.returncode == 1
    assert b"short.ark" in done.stderr
    assert b"Traceback" not in done.stderr


def test_failing_output_pipe_is_an_error(model_and_data: tuple[Path, Path]) -> None:
    model_dir, data = model_and_data
    with pytest.raises(HdnnError, match="status 3"):
        call("forward", [str(model_dir), str(data), "ark:| cat > /dev/null; exit 3"])


def test_text_and_script_output(model_and_data: tuple[Path, Path], tmp_path: Path) -> None:
    model_dir, data = model_and_data
    call("forward", [str(model_dir), str(data), f"ark,t:{tmp_path}/x.txt"])
    call("forward", [str(model_dir), str(data), f"ark,scp:{tmp_path}/x.ark,{tmp_path}/x.scp"])
    binary = kaldiio.load_scp(str(tmp_path / "x.scp"))
    text = dict(kaldiio.load_ark(str(tmp_path / "x.txt")))
    assert list(text) == list(binary)
    for utt, matrix in text.items():
        np.testing.assert_allclose(matrix, binary[utt], rtol=1e-6)


def test_a_table_is_normalised_where_statistics_are_given(
    model_and_data: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As apply-cmvn would: by speaker with --utt2spk, by utterance without; otherwise there is a warning."""
    model_dir, data = shutil.copytree(model_and_data[0], tmp_path / "model"), model_and_data[1]
    (model_dir / "cmvn_opts").write_text("--norm-means=true --norm-vars=true\n")
    raw = dict(FeatureReader(data))
    speakers = dict(line.split() for line in (data / "utt2spk").read_text().splitlines())
    groups = {"speaker": speakers, "utterance": {utt: utt for utt in raw}}
    scp = f"scp:{data}/feats.scp"
    for kind, owner in groups.items():
        pooled = {name: np.concatenate([raw[u] for u in raw if owner[u] == name]) for name in set(owner.values())}
        stats = {
            name: np.array([[*x.sum(0, dtype=np.float64), len(x)], [*np.square(x, dtype=np.float64).sum(0), 0]])
            for name, x in pooled.items()
        }
        kaldiio.save_ark(str(tmp_path / f"{kind}.ark"), stats, scp=str(tmp_path / f"{kind}.scp"))
        options = ["--cmvn-scp", str(tmp_path / f"{kind}.scp")]
        options += ["--utt2spk", str(data / "utt2spk")] if kind == "speaker" else []
        call("forward", ["--precision", "fp32", *options, str(model_dir), scp, f"ark:{tmp_path}/out.ark"])
        assert "taken as they are" not in caplog.text
        for utt, values in kaldiio.load_ark(str(tmp_path / "out.ark")):
            x = pooled[owner[utt]]
            wanted = expected(model_dir, (raw[utt] - x.mean(0)) / x.std(0))
            np.testing.assert_allclose(values, wanted, atol=2e-4)
    call("forward", [str(model_dir), scp, f"ark:{tmp_path}/out.ark"])
    assert "was trained with cmvn_opts" in caplog.text
    assert "taken as they are" in caplog.text
    for options, said in (
        ([str(model_and_data[0]), scp], "without CMVN"),
        ([str(model_dir), str(data)], "has its own"),
    ):
        with pytest.raises(HdnnError, match=said):
            call("forward", ["--cmvn-scp", str(tmp_path / "speaker.scp"), *options, f"ark:{tmp_path}/out.ark"])
