"""Options of exports."""

from dataclasses import dataclass

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.nn.options import WEIGHTS
from hdnn_nnet.options import Options, argument, group, option


@dataclass(frozen=True, kw_only=True)
class FeatureKindOptions(Options):
    """Features, for models without a file feat_opts."""

    feat_type: str = option("", "mfcc or fbank", choices=("", "mfcc", "fbank"))
    feat_config: str = option("", "configuration of the features, such as conf/fbank.conf")


@dataclass(frozen=True, kw_only=True)
class SourceOptions(Options):
    """Model."""

    weights: str = option(WEIGHTS, "weights file in model_dir")
    params: str = option("", "safetensors file of tensors that replace the model's, such as one speaker's gates")
    class_frame_counts: str = option("", "counts for the prior; default: the model's own")
    features: FeatureKindOptions = group(FeatureKindOptions)
    dev: str = option("decode_dev", "decode directory in model_dir: WER, and the LM weight to use")
    eval: str = option("decode_eval", "decode directory in model_dir whose WER is told too")
    trained_on: str = option("", "for the model card: what the training data are")
    licence: str = option("", "for the model card: who may do what with the model")


@dataclass(frozen=True, kw_only=True)
class TrialOptions(Options):
    """Trial."""

    check_data: str = option("", "data directory with audio and text to try the export on")
    check_utterances: int = option(50, "utterances of it that are tried; 0: all", at_least=0)


@dataclass(frozen=True, kw_only=True)
class VoskSearch(Options):
    """Search, named as latgen-faster-mapped's."""

    beam: float = option(11.0, "search beam", above=0)
    lattice_beam: float = option(4.0, "more costs Vosk much time, and its one best answer little", above=0)
    min_active: int = option(200, "states alive at least", at_least=0)
    max_active: int = option(2000, "states alive at most", at_least=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_active > self.max_active:  # Vosk would end with Kaldi's failed assertion
            raise HdnnError(f"--min-active {self.min_active} is above --max-active {self.max_active}")


@dataclass(frozen=True, kw_only=True)
class Nnet3Export(Options):
    """Export to nnet3."""

    model_dir: str = argument("directory with final.safetensors, model.json, final.mdl and counts")
    graph_dir: str = argument("directory with HCLG.fst and words.txt")
    out_dir: str = argument("directory to write")
    source: SourceOptions = group(SourceOptions)
    binary: bool = option(True, "write am/final.mdl in Kaldi's binary form; false: text")
    lm_weight: float | None = option(None, "that Vosk chooses words with; default: best of --dev, else 10", above=0)
    search: VoskSearch = group(VoskSearch)
    trial: TrialOptions = group(TrialOptions)


@dataclass(frozen=True, kw_only=True)
class OnnxExport(Options):
    """Export to ONNX."""

    model_dir: str = argument("directory with final.safetensors, model.json, final.mdl and counts")
    calibration_data: str = argument("data directory with training features, for the 8-bit models")
    out_dir: str = argument("directory to write to; that of export_nnet3.sh, so that speech can be tried")
    source: SourceOptions = group(SourceOptions)
    calibration_utterances: int = option(50, "utterances that set the 8-bit scales", at_least=1)
    reduce_range: bool = option(False, "7-bit weights, for x86 processors without VNNI")
    subtract_prior: bool = option(True, "write log-likelihoods; false: log-posteriors")
    trial: TrialOptions = group(TrialOptions)
