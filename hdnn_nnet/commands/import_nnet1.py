"""Turn a directory of Kaldi's nnet1 (final.nnet, final.feature_transform) into a model directory that can be trained further."""

from dataclasses import dataclass

from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Import."""

    nnet_dir: str = argument("directory that steps/nnet/train.sh left")
    ali_dir: str = argument("alignment directory that it was trained on (final.mdl, tree)")
    dir: str = argument("model directory to write")
    class_frame_counts: str = option("", "default: ali_train_pdf.counts of nnet_dir")


EXAMPLE = "hdnn import nnet1 exp/dnn4_pretrain-dbn_dnn exp/tri4a_ali exp/dnn4"
WRITES = "dir"


def main(options: Options) -> None:
    import logging
    from pathlib import Path

    from hdnn_nnet.atomic import copy_file, write_text
    from hdnn_nnet.errors import HdnnError
    from hdnn_nnet.kaldi.nnet1 import read_nnet1
    from hdnn_nnet.kaldi.transitions import TransitionModel
    from hdnn_nnet.nn.import_nnet1 import import_nnet1
    from hdnn_nnet.nn.model_dir import copy_kaldi_files, read_option_file, save_model
    from hdnn_nnet.nn.prior import read_log_prior

    log = logging.getLogger(__name__)
    source, directory = Path(options.nnet_dir), Path(options.dir)
    components = read_nnet1(source / "final.nnet")
    if (source / "final.feature_transform").is_file():
        components = read_nnet1(source / "final.feature_transform") + components
    model = import_nnet1(components, str(source / "final.nnet"))
    num_pdfs = TransitionModel.read(Path(options.ali_dir) / "final.mdl").num_pdfs
    if num_pdfs != model.num_pdfs:
        raise HdnnError(
            f"{source} has {model.num_pdfs} pdfs, {options.ali_dir}/final.mdl {num_pdfs}; give its own alignment"
        )
    counts = options.class_frame_counts or source / "ali_train_pdf.counts"
    read_log_prior(counts, num_pdfs)  # checks them
    copy_kaldi_files(options.ali_dir, directory)
    copy_file(counts, directory / "ali_train_pdf.counts")
    for name in ("cmvn_opts", "delta_opts"):
        write_text(directory / name, read_option_file(source / name) + "\n")
    write_text(directory / "criterion", "CE\n")
    save_model(model, directory)
    log.info("%s with %d parameters in %s", model.name, model.num_parameters(), directory)
