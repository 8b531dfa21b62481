"""Export a model as a Kaldi nnet3 model with its graph: a directory for Vosk and for nnet3-latgen-faster."""

from hdnn_nnet.export.options import Nnet3Export

Options = Nnet3Export
EXAMPLE = "hdnn export nnet3 exp/hdnn_online exp/tri4a/graph exp/hdnn_online/export"
WRITES = "out_dir"


def main(options: Nnet3Export) -> None:
    import logging
    from pathlib import Path

    from hdnn_nnet.export.nnet3 import check_acoustic_model, convert
    from hdnn_nnet.export.source import open_source
    from hdnn_nnet.export.vosk_dir import acoustic_scale, write_vosk_dir
    from hdnn_nnet.graph.graph_dir import check_graph
    from hdnn_nnet.runtime.trial import finish

    log = logging.getLogger(__name__)
    source = open_source(options.model_dir, options.source)
    check_graph(options.graph_dir, source.transitions, options.model_dir)
    out = Path(options.out_dir)
    weight = options.lm_weight or (source.dev.lmwt if source.dev else 10.0)
    scale = acoustic_scale(weight)
    nnet = convert(source.model, source.log_prior)
    files = write_vosk_dir(
        out, nnet, source.transitions, options.graph_dir, source.features, options.search, scale, options.binary
    )
    check_acoustic_model(out / "am/final.mdl")
    log.info("%s, LM weight %g: acoustic scale %.4g", source.model.name, weight, scale)
    finish(out, source, files, ["vosk"], options.trial)
