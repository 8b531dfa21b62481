"""Forward features through a network and write log-likelihoods (the counterpart of nnet-forward)."""

import itertools
import logging
import time
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from hdnn_nnet.adapt.switch import SpeakerSwitch
from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.feats.archive import MatrixWriter
from hdnn_nnet.feats.reader import FeatureReader
from hdnn_nnet.kaldi.tables import read_matrices, read_scp
from hdnn_nnet.model_dir import Network, load_network, read_option_file
from hdnn_nnet.nn.networks import AcousticModel
from hdnn_nnet.precision import add_forward_precision, choose_device, choose_dtype
from hdnn_nnet.prior import counts_path, read_log_prior

log = logging.getLogger(__name__)
PROGRAM = "hdnn-forward"
OUTPUTS = ("loglikes", "logposteriors", "posteriors", "logits")


def parser() -> OptionParser:
    options = OptionParser(PROGRAM, __doc__ or "")
    options.add_argument(
        "model_dir", help="directory with final.safetensors and model.json, or with final.nnet of Kaldi's nnet1"
    )
    options.add_argument("features", help="data directory (its CMVN and deltas as in training) or a feature rspecifier")
    options.add_argument("wspecifier", help="where the matrices go, for example ark:-")
    options.add_argument("--output", choices=OUTPUTS, default="loglikes", help="what is written")
    options.add_argument("--adapt-dir", default="", help="parameters by speaker, of steps_py/adapt.sh")
    options.add_argument("--utt2spk", default="", help="for --adapt-dir; default: that of the data directory")
    add_network_options(options)
    return options


def add_network_options(options: OptionParser) -> None:
    """The options of `open_network` and the batch size, for every program that forwards a network."""
    options.add_argument("--class-frame-counts", default="", help="counts for the prior; default: the model's own")
    options.add_argument("--prior-scale", type=float, default=1.0, help="factor of the log-prior")
    options.add_argument("--weights", default="final.safetensors", help="weights file in model_dir")
    options.add_argument("--batch-frames", type=int, default=1024, help="frames computed at a time")
    options.add_argument("--num-threads", type=int, default=1, help="CPU threads; 0: torch's choice")
    options.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N")
    add_forward_precision(options)


def open_network(args: Namespace, model_dir: Path, output: str) -> tuple[Network, torch.Tensor | None]:
    """The network of a model directory on its device, and the scaled log-prior, (num_pdfs,), if `output` needs one."""
    if args.num_threads:
        torch.set_num_threads(args.num_threads)
    device = choose_device(args.device)
    model = load_network(model_dir, args.weights).to(device)
    model.compute_dtype = choose_dtype(args.precision, device)
    if output != "loglikes":
        return model, None
    prior = read_log_prior(args.class_frame_counts or counts_path(model_dir), model.num_pdfs)
    return model, torch.from_numpy(args.prior_scale * prior).to(device, torch.float32)


def model_features(data_dir: str | Path, model_dir: Path, root: str | None = None) -> FeatureReader:
    """The features of a data directory with the model's CMVN and deltas."""
    cmvn, deltas = (read_option_file(model_dir / name) for name in ("cmvn_opts", "delta_opts"))
    return FeatureReader(data_dir, cmvn, deltas, root)


def open_features(where: str, model_dir: Path) -> Iterable[tuple[str, np.ndarray]]:
    """A data directory with the model's CMVN and deltas, or a table whose features are taken as they are."""
    if Path(where).is_dir():
        return model_features(where, model_dir)
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
    windows = [model.splice(model.normalise(t.to(device))) for t in tensors]
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


def forward_adapted(
    switch: SpeakerSwitch,
    utterances: Iterable[tuple[str, np.ndarray]],
    utt2spk: Mapping[str, str],
    output: str,
    log_prior: torch.Tensor | None,
    batch_frames: int,
) -> Iterator[tuple[str, np.ndarray]]:
    """As `forward_all`, with the parameters of each utterance's speaker.

    Raises:
        HdnnError: also for an utterance that is not in `utt2spk`.
    """

    def speaker_of(item: tuple[str, np.ndarray]) -> str:
        if item[0] not in utt2spk:
            raise HdnnError(f"utt2spk has no utterance {item[0]}, so its speaker's parameters cannot be found; add it")
        return utt2spk[item[0]]

    for speaker, items in itertools.groupby(utterances, key=speaker_of):
        switch.use(speaker)
        yield from forward_all(switch.model, items, output, log_prior, batch_frames)


def open_switch(args: Namespace, model: Network, model_dir: Path) -> tuple[SpeakerSwitch, dict[str, str]]:
    """The adapted parameters that the command line names, and the speaker of every utterance."""
    if not isinstance(model, AcousticModel):
        raise HdnnError(f"--adapt-dir: {model_dir} is a network of Kaldi's; only ours can be adapted")
    if not args.utt2spk and not Path(args.features).is_dir():
        raise HdnnError("--adapt-dir needs to know speakers: give --utt2spk where features come from a table")
    return SpeakerSwitch(model, args.adapt_dir, model_dir), read_scp(args.utt2spk or Path(args.features) / "utt2spk")


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    model_dir = Path(args.model_dir)
    model, log_prior = open_network(args, model_dir, args.output)
    switch, utt2spk = open_switch(args, model, model_dir) if args.adapt_dir else (None, {})
    utts = frames = 0
    started = time.monotonic()
    source = open_features(args.features, model_dir)
    if switch is None:
        outputs = forward_all(model, source, args.output, log_prior, args.batch_frames)
    else:
        outputs = forward_adapted(switch, source, utt2spk, args.output, log_prior, args.batch_frames)
    with MatrixWriter(args.wspecifier) as writer:
        for utt, values in outputs:
            writer.write_matrix(utt, values)
            utts += 1
            frames += len(values)
    if not utts:
        raise HdnnError(f"{args.features} holds no utterances")
    seconds = time.monotonic() - started
    log.info("Done %d utterances, %d frames in %.1f s (%.0f frames/s)", utts, frames, seconds, frames / seconds)
    if switch is not None:
        log.info("%d speakers adapted, %d independent", len(switch.adapted), len(switch.independent))
    return 0


if __name__ == "__main__":
    run(main, PROGRAM)
