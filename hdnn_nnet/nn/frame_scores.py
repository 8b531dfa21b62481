"""How well posteriors predict an alignment: what nnet-train-frmshuff says of its targets, and the entropy."""

from dataclasses import dataclass

import numpy as np


@dataclass
class FrameScores:
    """Sums over frames.

    Attributes:
        loss: cross-entropy with the aligned pdfs, in nats.
        entropy: of the posteriors, in nats.
        correct: frames whose most probable pdf is the aligned one.
    """

    frames: int = 0
    loss: float = 0.0
    entropy: float = 0.0
    correct: int = 0

    def add(self, log_posteriors: np.ndarray, pdfs: np.ndarray) -> None:
        """Frames of one utterance: (T, num_pdfs), and pdf-ids (T,)."""
        self.frames += len(pdfs)
        self.loss -= float(log_posteriors[np.arange(len(pdfs)), pdfs].sum(dtype=np.float64))
        self.entropy -= float((np.exp(log_posteriors) * log_posteriors).sum(dtype=np.float64))
        self.correct += int((log_posteriors.argmax(1) == pdfs).sum())

    def __str__(self) -> str:
        if not self.frames:
            return "no frames"
        loss, entropy, right = (value / self.frames for value in (self.loss, self.entropy, self.correct))
        return f"{self.frames} frames, loss {loss:.4f}, frame accuracy {100 * right:.2f} %, entropy {entropy:.4f}"
