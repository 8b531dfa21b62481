"""Forward teachers over a data directory and write their most probable pdfs as a table of posteriors."""

from dataclasses import dataclass

from hdnn_nnet.device.options import ForwardDevice
from hdnn_nnet.kaldi.options import FORMS
from hdnn_nnet.options import Options as Base
from hdnn_nnet.options import argument, group, option


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """Soft labels."""

    teacher: str = argument("model directory of ours or of Kaldi's nnet1; several in quotes are averaged")
    data: str = argument("data directory with the teachers' features")
    wspecifier: str = argument("where the posteriors go, for example ark,scp:post.1.ark,post.1.scp")
    mass: float = option(0.99, "share of each frame's posterior that is kept at --temperature", above=0, at_most=1)
    temperature: float = option(
        1.0, "highest temperature that students will use; above 1 many more pdfs are kept", at_least=1
    )
    form: str = option("kaldi", "10 bytes an entry, which Kaldi's programs read, or 2 to 3", choices=FORMS)
    stats: str = option("", "file for sizes and masses, as JSON")
    compute: ForwardDevice = group(ForwardDevice)


EXAMPLE = "hdnn soft-labels exp/dnn_h2048l6 data/train/split4/1 ark,scp:soft/post.1.ark,soft/post.1.scp"


def main(options: Options) -> None:
    import json

    import torch

    from hdnn_nnet.atomic import write_text
    from hdnn_nnet.device.precision import choose_device
    from hdnn_nnet.text import words
    from hdnn_nnet.train.teacher import Teachers, store_soft_labels

    if options.compute.num_threads:
        torch.set_num_threads(options.compute.num_threads)
    device = choose_device(options.compute.device)
    teachers = Teachers(words(options.teacher), [options.data], device, options.compute.precision)
    stats = store_soft_labels(teachers, options.wspecifier, options.mass, options.temperature, options.form)
    if options.stats:
        write_text(options.stats, json.dumps(stats, indent=1) + "\n")
