"""Options of the search, named as latgen-faster-mapped's."""

from dataclasses import dataclass

from hdnn_nnet.errors import HdnnError
from hdnn_nnet.options import Options, argument, group, option

SEARCHES = ("auto", "k2", "numpy")


@dataclass(frozen=True, kw_only=True)
class SearchOptions(Options):
    """Search."""

    acoustic_scale: float = option(0.1, "factor on the log-likelihoods in the search", above=0)
    beam: float = option(16.0, "search beam", above=0)
    lattice_beam: float = option(10.0, "beam of the lattice around the best path", above=0)
    max_active: int = option(2147483647, "about this many states are alive at most", at_least=1)
    min_active: int = option(200, "about this many states are alive at least", at_least=0)
    determinize_lattice: bool = option(True, "word lattices with one alignment a word sequence; false: all alignments")
    word_history: int = option(4, "words that tell paths apart in word lattices", at_least=1)
    max_mem: int = option(50000000, "bytes an utterance's word lattice may take in the making", at_least=1)
    search: str = option("auto", "what searches: k2, numpy, or auto: k2 where it can be imported", choices=SEARCHES)


_IGNORED = "accepted as latgen-faster-mapped does; without effect"


@dataclass(frozen=True, kw_only=True)
class LatgenOptions(Options):
    """Decoding."""

    model: str = argument("transition model (final.mdl)")
    graph: str = argument("HCLG.fst")
    loglikes: str = argument("rspecifier of log-likelihood matrices, not scaled")
    lattices: str = argument("wspecifier of lattices")
    words: str = argument("wspecifier of word sequences", nargs="?", default="")
    alignments: str = argument("wspecifier of transition-id sequences", nargs="?", default="")
    search: SearchOptions = group(SearchOptions)
    allow_partial: bool = option(False, "write a lattice even where no final state was reached")
    word_symbol_table: str = option("", "words.txt: show the recognised words in the log")
    batch_frames: int = option(2000, "frames that are searched together", at_least=1)
    delta: str = option("", _IGNORED)
    beam_delta: str = option("", _IGNORED)
    hash_ratio: str = option("", _IGNORED)
    prune_interval: str = option("", _IGNORED)
    prune_scale: str = option("", _IGNORED)
    memory_pool_tokens_block_size: str = option("", _IGNORED)
    memory_pool_links_block_size: str = option("", _IGNORED)
    minimize: bool = option(False, _IGNORED)
    phone_determinize: bool = option(True, _IGNORED)
    word_determinize: bool = option(True, _IGNORED)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.search.min_active > self.search.max_active:  # as Kaldi's program does
            raise HdnnError(f"--min-active {self.search.min_active} is above --max-active {self.search.max_active}")
        if self.graph.startswith(("ark:", "scp:")):
            raise HdnnError(f"{self.graph}: one graph for all utterances is expected (HCLG.fst), not a table of graphs")
