"""Export a model as a Kaldi nnet3 model with its graph: a directory for Vosk and for nnet3-latgen-faster."""

import logging
from collections.abc import Sequence
from pathlib import Path

from hdnn_nnet.cli import OptionParser, run
from hdnn_nnet.export.finish import add_trial_options, finish
from hdnn_nnet.export.nnet3 import check_acoustic_model, convert
from hdnn_nnet.export.source import add_source_options, open_source
from hdnn_nnet.export.vosk_dir import SearchOptions, acoustic_scale, write_vosk_dir
from hdnn_nnet.kaldi.graph_dir import check_graph

log = logging.getLogger(__name__)
PROGRAM = "hdnn-export-nnet3"


def main(argv: Sequence[str] | None = None) -> int:
    options = OptionParser(PROGRAM, __doc__ or "")
    options.add_argument("model_dir", help="directory with final.safetensors, model.json, final.mdl and counts")
    options.add_argument("graph_dir", help="directory with HCLG.fst and words.txt")
    options.add_argument("out_dir", help="directory to write")
    add_source_options(options)
    options.add_bool("--binary", True, "write am/final.mdl in Kaldi's binary form; false: text")
    options.add_argument(
        "--lm-weight", type=float, help="that Vosk shall choose words with; default: best of --dev, else 10"
    )
    options.add_argument("--beam", type=float, default=11.0, help="search beam")
    options.add_argument("--lattice-beam", type=float, default=4.0, help="lattice beam")
    options.add_argument("--min-active", type=int, default=200, help="states alive at least")
    options.add_argument("--max-active", type=int, default=2000, help="states alive at most")
    add_trial_options(options)
    args = options.parse_args(argv)
    source = open_source(args)
    check_graph(args.graph_dir, source.transitions, args.model_dir)
    out = Path(args.out_dir)
    weight = args.lm_weight or (source.dev.lmwt if source.dev else 10.0)
    search = SearchOptions(args.beam, args.lattice_beam, args.min_active, args.max_active, acoustic_scale(weight))
    nnet = convert(source.model, source.log_prior)
    files = write_vosk_dir(out, nnet, source.transitions, args.graph_dir, source.features, search, args.binary)
    check_acoustic_model(out / "am/final.mdl")
    log.info("%s, LM weight %g: acoustic scale %.4g", source.model.name, weight, search.acoustic_scale)
    finish(out, source, files, ["vosk"], args.check_data, args.check_utterances)
    return 0


if __name__ == "__main__":
    run(main, PROGRAM)
