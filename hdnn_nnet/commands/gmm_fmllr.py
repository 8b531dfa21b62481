"""Estimate speaker transforms from lattices or alignments (the counterpart of gmm-est-fmllr and gmm-est-fmllr-gpost).

The data directory is that of one job. Every speaker in it gets a transform; with too little speech it is the identity. With
--transforms, features are transformed by these first, and the new ones are composed with them.
"""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option
from hdnn_nnet.sequence.options import ENGINES


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Transforms."""

    data_dir: str = argument("data directory")
    gmm_dir: str = argument("with final.mdl and what its features need: final.mat, option files")
    labels: str = argument("archive of lattices, or of alignments with --labels-are")
    transforms_out: str = argument("table to write, for example trans.1")
    labels_are: str = option("lattices", "what the archive holds", choices=("lattices", "alignments"))
    model: str = option("", "model to adapt to; default: final.mdl of the directory")
    posterior_model: str = option("", "model that gives the posteriors of the Gaussians; default: the same")
    transforms: str = option("", "table of speaker transforms that the features get before")
    acoustic_scale: float = option(0.083333, "of lattice posteriors", above=0)
    silence_phones: str = option("", "phones whose frames are weighted: 1:2:3, or a file such as phones/silence.csl")
    silence_weight: float = option(0.01, "their weight", at_least=0)
    fmllr_min_count: float = option(500.0, "speakers with fewer frames keep the identity", at_least=0)
    engine: str = option("auto", "of the lattice passes", choices=ENGINES)
    root: str | None = option(None, "where to look for features with relative paths that do not exist from here")


EXAMPLE = "hdnn gmm fmllr --silence-phones graph/phones/silence.csl data/dev/split4/1 exp/tri4a lat.1.gz trans.1"


def main(options: Options) -> None:
    from functools import partial
    from pathlib import Path

    from hdnn_nnet.feats.affine import read_transforms, write_transforms
    from hdnn_nnet.gmm.features import compose_speakers, open_features
    from hdnn_nnet.gmm.model import read_gmm_model
    from hdnn_nnet.gmm.posteriors import alignment_labels
    from hdnn_nnet.kaldi.symbols import read_phone_list
    from hdnn_nnet.kaldi.tables import read_int_vectors
    from hdnn_nnet.lattice.table import read_lattices
    from hdnn_nnet.sequence.lattice_labels import lattice_labels
    from hdnn_nnet.sequence.speaker_transforms import transforms_from

    directory = Path(options.gmm_dir)
    before = read_transforms(options.transforms) if options.transforms else None
    features = open_features(Path(options.data_dir), directory, options.root, before)
    transition_model, gmms = read_gmm_model(options.model or directory / "final.mdl")
    posterior_model = None
    if options.posterior_model:
        transition_model, posterior_model = read_gmm_model(options.posterior_model)
    silence, weight = read_phone_list(options.silence_phones), options.silence_weight
    if options.labels_are == "lattices":
        labels = (
            (
                key,
                partial(
                    lattice_labels,
                    value,
                    transition_model,
                    options.acoustic_scale,
                    silence,
                    weight,
                    key,
                    options.engine,
                ),
            )
            for key, value in read_lattices(options.labels)
        )
    else:
        labels = (
            (key, partial(alignment_labels, value, transition_model, silence, weight))
            for key, value in read_int_vectors(options.labels)
        )
    result = transforms_from(features, labels, gmms, posterior_model, options.fmllr_min_count)
    composed = compose_speakers(result.transforms, before)
    write_transforms(options.transforms_out, {speaker: composed[speaker] for speaker in result.transforms})
