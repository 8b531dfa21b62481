"""Forward features through a network in batches (the counterpart of nnet-forward)."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from hdnn_nnet.device.precision import choose_device, choose_dtype
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.description import require_same_features
from hdnn_nnet.feats.frame_rate import shown
from hdnn_nnet.feats.normaliser import Normaliser
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.feats.transforms import Cmvn, Deltas
from hdnn_nnet.kaldi.matrix_table import MatrixTable
from hdnn_nnet.kaldi.script_table import read_scp
from hdnn_nnet.kaldi.tables import read_matrices
from hdnn_nnet.nn.model_dir import Network, frame_factor, load_network, read_option_file, require_frame_rate
from hdnn_nnet.nn.options import ForwardOptions
from hdnn_nnet.nn.prior import counts_path, read_log_prior

log = logging.getLogger(__name__)


def open_network(options: ForwardOptions, model_dir: Path, output: str) -> tuple[Network, torch.Tensor | None]:
    """The network of a model directory on its device, and the scaled log-prior, (num_pdfs,), if `output` needs one."""
    if options.compute.num_threads:
        torch.set_num_threads(options.compute.num_threads)
    device = choose_device(options.compute.device)
    model = load_network(model_dir, options.weights).to(device)
    model.compute_dtype = choose_dtype(options.compute.precision, device)
    if output != "loglikes":
        return model, None
    prior = read_log_prior(options.class_frame_counts or counts_path(model_dir), model.num_pdfs)
    return model, torch.from_numpy(options.prior_scale * prior).to(device, torch.float32)


def model_features(data_dir: str | Path, model_dir: Path, root: str | None = None) -> FeatureReader:
    """The features of a data directory with the model's CMVN and deltas; its `feat_opts` and frame rate must be the model's."""
    require_same_features(model_dir, data_dir)
    cmvn, deltas = (read_option_file(model_dir / name) for name in ("cmvn_opts", "delta_opts"))
    reader = FeatureReader(data_dir, cmvn, deltas, root)
    require_frame_rate(model_dir, reader)
    return reader


def open_features(
    where: str, model_dir: Path, cmvn_scp: str = "", utt2spk: str = ""
) -> Iterable[tuple[str, np.ndarray]]:
    """Features of a data directory or a table.

    Those of a directory get the model's CMVN and deltas, and those of a table with `cmvn_scp` too; without it they are taken as
    they are, with a warning where the model was trained on others.

    Args:
        cmvn_scp: statistics by speaker, or by utterance without `utt2spk`, as apply-cmvn takes them.

    Raises:
        HdnnError: `cmvn_scp` for a directory, which has its own, or for a model without CMVN; a table for a model on features of
            another frame rate.
    """
    if Path(where).is_dir():
        if cmvn_scp:
            raise HdnnError(f"--cmvn-scp is for tables of features; the directory {where} has its own cmvn.scp")
        return model_features(where, model_dir)
    if (factor := frame_factor(model_dir)) not in (None, 1):
        raise HdnnError(
            f"{model_dir} was trained on {shown(factor)}, and the table {where} does not tell its rate or where utterances end; "
            "give the data directory"
        )
    options = {name: read_option_file(model_dir / name) for name in ("cmvn_opts", "delta_opts")}
    cmvn, deltas = Cmvn.parse(options["cmvn_opts"]), Deltas.parse(options["delta_opts"])
    if cmvn_scp:
        if cmvn is None:
            raise HdnnError(f"{model_dir} was trained without CMVN; leave --cmvn-scp out")
        speakers = read_scp(utt2spk) if utt2spk else {}
        return Normaliser(cmvn, deltas, MatrixTable(cmvn_scp), speakers).all(read_matrices(where), where)
    wanted = " and ".join(f"{name} {text}" for name, text in options.items() if text.strip())
    if wanted:
        log.warning(
            "%s was trained with %s, and features of a table are taken as they are: %s must be normalised already; "
            "else give --cmvn-scp and --utt2spk, or the data directory", model_dir, wanted, where,
        )  # fmt: skip
    return read_matrices(where)


def batches(
    utterances: Iterable[tuple[str, np.ndarray]], frames: int, dim: int
) -> Iterator[list[tuple[str, np.ndarray]]]:
    """Utterances in order, collected until they have at least `frames` frames; their width is checked."""
    batch: list[tuple[str, np.ndarray]] = []
    size = 0
    for utt, matrix in utterances:
        if matrix.shape[1] != dim:
            raise HdnnError(f"utterance {utt} has {matrix.shape[1]} features a frame but the network takes {dim}")
        if not len(matrix):
            raise HdnnError(f"utterance {utt} has no frames; remove it from the data directory")
        batch.append((utt, matrix))
        size += len(matrix)
        if size >= frames:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


@torch.no_grad()
def compute(
    model: Network, utterances: Sequence[np.ndarray], output: str, log_prior: torch.Tensor | None
) -> np.ndarray:
    """Matrices (T_i, feat_dim) to one float32 matrix (sum of T_i, num_pdfs)."""
    device = model.device
    # torch wants writable arrays; those of a pipe are not
    tensors = [torch.from_numpy(m if m.flags.writeable else m.copy()) for m in utterances]
    windows = [model.windows(t.to(device)) for t in tensors]
    values = model.logits(windows[0] if len(windows) == 1 else torch.cat(windows))
    if output == "posteriors":
        values = torch.softmax(values, 1)
    elif output != "logits":
        values = torch.log_softmax(values, 1)
    if log_prior is not None:
        values -= log_prior
    return values.cpu().numpy()


def forward_all(
    model: Network,
    utterances: Iterable[tuple[str, np.ndarray]],
    output: str,
    log_prior: torch.Tensor | None,
    batch_frames: int,
) -> Iterator[tuple[str, np.ndarray]]:
    """Features of utterances, (T, feat_dim), to outputs, (T, num_pdfs) float32, in the same order.

    Raises:
        HdnnError: features of another width or of no frames, NaN or infinity in the outputs.
    """
    for batch in batches(utterances, batch_frames, model.feat_dim):
        values = compute(model, [m for _, m in batch], output, log_prior)
        if not np.isfinite(values).all():
            raise HdnnError(f"the network gives NaN or infinity in one of {', '.join(u for u, _ in batch)}")
        row = 0
        for utt, matrix in batch:
            yield utt, values[row : row + len(matrix)]
            row += len(matrix)


def loglikes(
    model_dir: str | Path, features: str, options: ForwardOptions | None = None
) -> Iterator[tuple[str, np.ndarray]]:
    """What a Kaldi decoder takes: log-posteriors minus log-priors of utterances, (T, num_pdfs) float32, not scaled.

    Args:
        model_dir: of ours, or of Kaldi's steps/nnet/train.sh.
        features: data directory (its CMVN and deltas as in training) or a feature rspecifier.

    Raises:
        HdnnError: files that are missing, damaged, or do not belong together.
    """
    options = options or ForwardOptions()
    model, log_prior = open_network(options, Path(model_dir), "loglikes")
    yield from forward_all(model, open_features(features, Path(model_dir)), "loglikes", log_prior, options.batch_frames)


def expected_counts(
    model: Network, utterances: Iterable[tuple[str, np.ndarray]], batch_frames: int
) -> tuple[np.ndarray, int, int]:
    """Posteriors summed over all frames, (num_pdfs,) float64, and how many utterances and frames there were."""
    sums = np.zeros(model.num_pdfs)
    count = frames = 0
    for _, posteriors in forward_all(model, utterances, "posteriors", None, batch_frames):
        sums += posteriors.sum(0, dtype=np.float64)
        count += 1
        frames += len(posteriors)
    return sums, count, frames
