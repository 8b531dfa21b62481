"""A tiny frame-classification task as Kaldi directories, for tests of training and forwarding."""

from pathlib import Path

import kaldiio
import numpy as np

from hdnn_nnet.kaldi.alignments import write_alignments
from hdnn_nnet.kaldi.transitions import TransitionModel
from tests.support.hmm import one_state_model

PDFS, DIM = 5, 6


def transition_model() -> TransitionModel:
    """Five phones of one state each, so that pdf = phone - 1."""
    return one_state_model(PDFS)


def make(folder: Path, speakers: int = 6, utterances: int = 4, frames: int = 60) -> tuple[Path, Path, Path]:
    """Write `data_tr`, `data_cv` (the last speaker) and `ali`; the classes are overlapping Gaussians."""
    generator = np.random.default_rng(5)
    model = transition_model()
    means = generator.standard_normal((PDFS, DIM)) * 1.5
    self_loops = {int(p): t for t, p in enumerate(model.tid_to_pdf) if t and model.is_self_loop[t]}
    alignments: dict[str, np.ndarray] = {}
    for part, chosen in (("tr", range(speakers - 1)), ("cv", [speakers - 1])):
        features, speakers_of = {}, {}
        for speaker in chosen:
            for number in range(utterances):
                utt = f"s{speaker}-u{number}"
                length = frames + int(generator.integers(10))
                pdfs = np.repeat(generator.integers(PDFS, size=length // 3 + 1), 3)[:length]
                noise = generator.standard_normal((length, DIM))
                features[utt] = (means[pdfs] + noise + 3).astype(np.float32)
                alignments[utt] = np.array([self_loops[int(p)] for p in pdfs], dtype=np.int32)
                speakers_of[utt] = f"s{speaker}"
        data = folder / f"data_{part}"
        data.mkdir(parents=True)
        kaldiio.save_ark(str(data / "feats.ark"), features, scp=str(data / "feats.scp"))
        (data / "utt2spk").write_text("".join(f"{u} {s}\n" for u, s in speakers_of.items()))
    ali = folder / "ali"
    ali.mkdir()
    model.write(ali / "final.mdl")
    (ali / "num_jobs").write_text("1\n")
    write_alignments(ali / "ali.1.gz", alignments)
    return folder / "data_tr", folder / "data_cv", ali
