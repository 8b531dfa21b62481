"""Several utterances as one graph of tensors, so that one pass serves them all."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hdnn_nnet.device.transfer import upload_all
from hdnn_nnet.errors import HdnnError
from hdnn_nnet.kaldi.transitions import TransitionModel
from hdnn_nnet.lattice.arcs import LatticeArcs
from hdnn_nnet.ragged import cumulative


@dataclass
class ArcBatch:
    """Utterances one after the other: their states, arcs, and rows in the concatenated log-likelihoods.

    Attributes:
        names: file and key of every utterance, for messages.
        num_pdfs: columns of the log-likelihoods; `pdf` and the like are column numbers.
        frame_offsets, state_offsets, arc_offsets: (utterances + 1,) numpy int64.
        source, target: (arcs,) int64 states; the arcs of one state follow each other.
        state_time, state_level: (states,) int64 as in `LatticeArcs`.
        state_utterance, arc_utterance, frame_utterance: (states,), (arcs,) and (frames,) int64.
        graph, acoustic: (arcs,) float64 costs of the lattices.
        arc: (entries,) int64 arc of every entry (one frame of one arc).
        row, pdf, phone, transition_id: (entries,) int64.
        cell: (entries,) int64 place in `cell_row`, `cell_pdf`, which list the log-likelihoods in use, each once.
        reference_pdf, reference_phone: (frames,) int64 from the alignments; empty without them.
        engine_data: what engines keep with a batch.
    """

    names: list[str]
    num_pdfs: int
    frame_offsets: np.ndarray
    state_offsets: np.ndarray
    arc_offsets: np.ndarray
    source: Tensor
    target: Tensor
    state_time: Tensor
    state_level: Tensor
    state_utterance: Tensor
    arc_utterance: Tensor
    frame_utterance: Tensor
    graph: Tensor
    acoustic: Tensor
    arc: Tensor
    row: Tensor
    pdf: Tensor
    phone: Tensor
    transition_id: Tensor
    cell: Tensor
    cell_row: Tensor
    cell_pdf: Tensor
    reference_pdf: Tensor
    reference_phone: Tensor
    engine_data: dict = field(default_factory=dict, repr=False)

    @property
    def num_frames(self) -> int:
        """Rows of the log-likelihoods."""
        return int(self.frame_offsets[-1])

    @property
    def num_utterances(self) -> int:
        return len(self.names)

    @property
    def num_arcs(self) -> int:
        return len(self.source)

    @property
    def num_states(self) -> int:
        return len(self.state_time)

    def to(self, device: torch.device | str) -> "ArcBatch":
        """The same on another device; engines find this one as `host`, where values can be looked at without waiting."""
        names = [f.name for f in fields(self) if f.type is Tensor]
        tensors: list[Tensor] = [getattr(self, name) for name in names]
        here = self.source.device.type == "cpu"
        there = upload_all(tensors, torch.device(device)) if here else [t.to(device) for t in tensors]
        moved: dict[str, Any] = dict(zip(names, there, strict=True))
        return replace(self, **moved, engine_data={"host": self} if here else {})

    def used_pdfs(self) -> tuple[Tensor, "ArcBatch"]:
        """(P,) int64 pdfs of lattices and references, ascending, and the same batch on these columns only.

        Lattice objectives need no other outputs of a network, and their gradient is 0 there: results are the same.
        """
        used = torch.unique(torch.cat([self.cell_pdf, self.reference_pdf]))
        number = used.new_full((self.num_pdfs,), -1)
        number[used] = torch.arange(len(used), device=used.device)
        columns = {name: number[getattr(self, name)] for name in ("pdf", "cell_pdf", "reference_pdf")}
        return used, replace(self, num_pdfs=len(used), **columns)

    def entry_sum(self, values: Tensor) -> Tensor:
        """(entries,) values added up by arc, (arcs,) float64."""
        return values.new_zeros(self.num_arcs, dtype=torch.float64).index_add_(0, self.arc, values.double())

    def cell_sum(self, arc_values: Tensor) -> Tensor:
        """(arcs,) values added up by (row, pdf), (cells,) float64; an arc counts in every frame that it covers."""
        return arc_values.new_zeros(len(self.cell_row)).index_add_(0, self.cell, arc_values[self.arc])

    def utterance_sum(self, arc_values: Tensor) -> Tensor:
        """(arcs,) values added up by utterance."""
        return arc_values.new_zeros(self.num_utterances).index_add_(0, self.arc_utterance, arc_values)


def make_batch(
    lattices: Sequence[LatticeArcs],
    alignments: Sequence[np.ndarray] | None = None,
    model: TransitionModel | None = None,
) -> ArcBatch:
    """Concatenate utterances.

    Args:
        alignments: reference transition-ids of every utterance, (frames,) each; posteriors alone do without.
        model: their transition model.

    Raises:
        HdnnError: an alignment with another number of frames than its lattice, or with ids that the model lacks.
    """
    if not lattices:
        raise HdnnError("a batch without lattices")
    count = range(len(lattices))
    frames = cumulative(np.array([u.num_frames for u in lattices]))
    states = cumulative(np.array([u.num_states for u in lattices]))
    arcs = cumulative(np.array([u.num_arcs for u in lattices]))
    num_pdfs = lattices[0].num_pdfs
    for utterance in lattices:
        if utterance.num_pdfs != num_pdfs:
            raise HdnnError(f"{utterance.where}: {utterance.num_pdfs} pdfs, but {lattices[0].where} has {num_pdfs}")
    ids = np.zeros(0, np.int64)
    if alignments is not None:
        if model is None:
            raise HdnnError("alignments need their transition model")
        ids = np.concatenate([_checked(u, ali, model) for u, ali in zip(lattices, alignments, strict=True)])

    def joined(name: str, shift: np.ndarray | None = None) -> Tensor:
        pieces = [getattr(u, name) + (0 if shift is None else shift[i]) for i, u in enumerate(lattices)]
        return torch.from_numpy(np.concatenate(pieces))

    def owner(offsets: np.ndarray) -> Tensor:
        return torch.from_numpy(np.repeat(count, np.diff(offsets)).astype(np.int64))

    row, pdf = joined("frame", frames), joined("pdf")
    cells, cell = np.unique((row * num_pdfs + pdf).numpy(), return_inverse=True)
    return ArcBatch(
        names=[u.where for u in lattices],
        num_pdfs=num_pdfs,
        frame_offsets=frames,
        state_offsets=states,
        arc_offsets=arcs,
        source=joined("source", states),
        target=joined("target", states),
        state_time=joined("state_time"),
        state_level=joined("state_level"),
        state_utterance=owner(states),
        arc_utterance=owner(arcs),
        frame_utterance=owner(frames),
        graph=joined("graph"),
        acoustic=joined("acoustic"),
        arc=joined("arc", arcs),
        row=row,
        pdf=pdf,
        phone=joined("phone"),
        transition_id=joined("transition_id"),
        cell=torch.from_numpy(cell.reshape(-1)),
        cell_row=torch.from_numpy(cells // num_pdfs),
        cell_pdf=torch.from_numpy(cells % num_pdfs),
        reference_pdf=torch.from_numpy(model.tid_to_pdf[ids].astype(np.int64) if model else ids),
        reference_phone=torch.from_numpy(model.tid_to_phone[ids].astype(np.int64) if model else ids),
    )


def _checked(utterance: LatticeArcs, alignment: np.ndarray, model: TransitionModel) -> np.ndarray:
    if len(alignment) != utterance.num_frames:
        raise HdnnError(
            f"{utterance.where}: the lattice has {utterance.num_frames} frames, the alignment {len(alignment)}; "
            "make both from the same features"
        )
    if model.num_pdfs != utterance.num_pdfs:
        raise HdnnError(
            f"{utterance.where}: the lattice's model has {utterance.num_pdfs} pdfs, the alignment's {model.num_pdfs}"
        )
    if not 1 <= alignment.min() <= alignment.max() <= model.num_transition_ids:
        raise HdnnError(
            f"{utterance.where}: the alignment has transition-ids {alignment.min()} to {alignment.max()}, the model 1 to "
            f"{model.num_transition_ids}; take the final.mdl that made the alignment"
        )
    return alignment.astype(np.int64)
