"""Options of forced alignment; the defaults are those of Kaldi's alignment scripts."""

from dataclasses import dataclass

from hdnn_nnet.options import JobOptions, Options, group, option


@dataclass(frozen=True, kw_only=True)
class AlignOptions(Options):
    """Search.

    `retry_beam` serves utterances that fail with `beam`.
    """

    beam: float = option(10.0, "beam of the search", above=0)
    retry_beam: float = option(40.0, "beam for utterances that fail", above=0)
    acoustic_scale: float = option(0.1, "factor on the log-likelihoods", above=0)
    transition_scale: float = option(1.0, "scale of transitions between states", at_least=0)
    self_loop_scale: float = option(0.1, "scale of self-loops and of leaving them", at_least=0)


@dataclass(frozen=True, kw_only=True)
class AlignJobOptions(Options):
    """What every alignment job takes."""

    search: AlignOptions = group(AlignOptions)
    job: JobOptions = group(JobOptions)
    root: str | None = option(None, "where to look for features with relative paths that do not exist from here")
