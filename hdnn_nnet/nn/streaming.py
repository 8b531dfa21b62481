"""A network over an utterance that comes chunk by chunk, with the rows of the whole utterance."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # what runs an export needs no torch
    from hdnn_nnet.nn.networks import AcousticModel

#: (context, features), each (frames, feat_dim), to the rows that they are enough for, and the context of the next call
Step = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


class ContextStream:
    """One utterance. The rows of all calls together are those of the whole utterance at once, edges included: the start is
    preceded by copies of the first frame, the end followed by copies of the last.

    Args:
        step: runs the network.
        left, right: frames that one row sees on either side.
        num_pdfs: columns of the rows.
    """

    def __init__(self, step: Step, left: int, right: int, num_pdfs: int) -> None:
        self.step = step
        self.left, self.right = left, right
        self.nothing = np.zeros((0, num_pdfs), np.float32)
        self.context: np.ndarray | None = None
        self.last: np.ndarray | None = None

    def accept(self, features: np.ndarray) -> np.ndarray:
        """The next (n, feat_dim) frames; gives the rows that are ready, (m, num_pdfs): all but the last `right` so far."""
        if not len(features):
            return self.nothing
        if self.context is None:
            self.context = np.repeat(features[:1], self.left, axis=0)
        self.last = features[-1:]
        if len(self.context) + len(features) <= self.left + self.right:
            self.context = np.concatenate([self.context, features])
            return self.nothing
        rows, self.context = self.step(self.context, features)
        return rows

    def finish(self) -> np.ndarray:
        """The last rows, for which there are no later frames."""
        if self.last is None or not self.right:
            return self.nothing
        return self.accept(np.repeat(self.last, self.right, axis=0))


def torch_stream(model: AcousticModel, log_prior: np.ndarray | None) -> ContextStream:
    """A stream of log-likelihoods of a network of ours (log-posteriors without a prior)."""
    import torch

    window = model.config.window
    prior = None if log_prior is None else torch.from_numpy(log_prior).to(model.device)

    @torch.no_grad()
    def step(context: np.ndarray, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        padded = torch.from_numpy(np.concatenate([context, features])).to(model.device)
        frames = model.normalise(padded)
        windows = frames.unfold(0, window, 1).transpose(1, 2).reshape(len(frames) - window + 1, -1)
        rows = torch.log_softmax(model.logits(windows), 1)
        if prior is not None:
            rows -= prior
        return rows.cpu().numpy(), padded[len(padded) - window + 1 :].cpu().numpy()

    return ContextStream(step, model.left_context, model.right_context, model.num_pdfs)
