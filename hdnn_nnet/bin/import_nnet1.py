"""Turn a directory of Kaldi's nnet1 (final.nnet, final.feature_transform) into a model directory that can be trained further."""

import logging
from collections.abc import Sequence
from pathlib import Path

from hdnn_nnet.atomic import copy_file, write_text
from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.nnet1 import read_nnet1
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.model_dir import copy_kaldi_files, read_option_file, save_model
from hdnn_nnet.nn.import_nnet1 import import_nnet1
from hdnn_nnet.prior import read_log_prior

PROGRAM = "hdnn-import-nnet1"


def main(argv: Sequence[str] | None = None) -> int:
    parser = OptionParser(PROGRAM, __doc__ or "")
    parser.add_argument("nnet_dir", help="directory that steps/nnet/train.sh left")
    parser.add_argument("ali_dir", help="alignment directory that it was trained on (final.mdl, tree)")
    parser.add_argument("dir", help="model directory to write")
    parser.add_argument("--class-frame-counts", default="", help="default: ali_train_pdf.counts of nnet_dir")
    args = parser.parse_args(argv)
    source, directory = Path(args.nnet_dir), Path(args.dir)
    components = read_nnet1(source / "final.nnet")
    if (source / "final.feature_transform").is_file():
        components = read_nnet1(source / "final.feature_transform") + components
    model = import_nnet1(components, str(source / "final.nnet"))
    num_pdfs = TransitionModel.read(Path(args.ali_dir) / "final.mdl").num_pdfs
    if num_pdfs != model.num_pdfs:
        raise HdnnError(
            f"{source} has {model.num_pdfs} pdfs, {args.ali_dir}/final.mdl {num_pdfs}; give its own alignment"
        )
    counts = args.class_frame_counts or source / "ali_train_pdf.counts"
    read_log_prior(counts, num_pdfs)  # checks them
    copy_kaldi_files(args.ali_dir, directory)
    copy_file(counts, directory / "ali_train_pdf.counts")
    for name in ("cmvn_opts", "delta_opts"):
        write_text(directory / name, read_option_file(source / name) + "\n")
    write_text(directory / "criterion", "CE\n")
    save_model(model, directory)
    logging.getLogger(__name__).info("%s with %d parameters in %s", model.name, model.num_parameters(), directory)
    return 0


if __name__ == "__main__":
    run(main, PROGRAM)
