"""Give lattices the acoustic scores of a GMM system, and prune them (the counterpart of gmm-rescore-lattice).

Each path keeps its alignment. An utterance that fails keeps its lattice as it was, with a warning.
"""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Rescoring."""

    data_dir: str = argument("data directory")
    gmm_dir: str = argument("with final.mdl and what its features need: final.mat, option files")
    lattices: str = argument("archive of lattices")
    wspecifier: str = argument("where the lattices go, for example 'ark:|gzip -c > lat.1.gz'")
    model: str = option("", "model; default: final.mdl of the directory")
    transforms: str = option("", "table of speaker transforms, for example trans.1")
    acoustic_scale: float = option(0.083333, "of the pruning", above=0)
    lattice_beam: float = option(0.0, "prune to this beam; 0: not at all", at_least=0)
    root: str | None = option(None, "where to look for features with relative paths that do not exist from here")


EXAMPLE = "hdnn gmm rescore --transforms trans.1 data/dev/split4/1 exp/tri4a lat.tmp.1.gz 'ark:|gzip -c > lat.1.gz'"


def main(options: Options) -> None:
    import logging
    from pathlib import Path

    import numpy as np

    from hdnn_nnet.errors import HdnnError
    from hdnn_nnet.feats.affine import read_transforms
    from hdnn_nnet.gmm.features import open_features
    from hdnn_nnet.gmm.model import LogLikelihoods, read_gmm_model
    from hdnn_nnet.lattice.ops import prune
    from hdnn_nnet.lattice.rescore import lattice_pdfs, rescore
    from hdnn_nnet.lattice.table import LatticeWriter, read_lattices
    from hdnn_nnet.progress import counted

    log = logging.getLogger(__name__)
    directory = Path(options.gmm_dir)
    transforms = read_transforms(options.transforms) if options.transforms else None
    features = open_features(Path(options.data_dir), directory, options.root, transforms)
    model, gmms = read_gmm_model(options.model or directory / "final.mdl")
    log_likelihoods = LogLikelihoods(gmms)
    done = failed = 0
    with LatticeWriter(options.wspecifier) as writer:
        for key, lattice in counted(read_lattices(options.lattices), "utterances", len(features)):
            try:
                if key not in features:
                    raise HdnnError("no such utterance in the data directory")
                pdfs = lattice_pdfs(lattice, model, key)
                fresh = rescore(lattice, log_likelihoods(features[key], np.asarray(pdfs)), model, key)
                lattice = prune(fresh, options.lattice_beam, options.acoustic_scale) if options.lattice_beam else fresh
                done += 1
            except HdnnError as error:
                log.warning("utterance %s keeps its old scores: %s", key, error)
                failed += 1
            writer.write_lattice(key, lattice)
    log.info("%d lattices rescored, %d failed", done, failed)
