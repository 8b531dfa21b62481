"""Terms of the report, which it explains where a pointer rests on them; more in docs/glossary.md."""

import html
import re

TERMS = {
    "WER": "word error rate: substituted, missed and invented words in percent of the words that were spoken",
    "CE": "cross-entropy: the network learns the aligned state of each frame",
    "KD": "knowledge distillation: the student learns the posteriors of a teacher",
    "sMBR": "state-level minimum Bayes risk: sequence training that raises the expected share of right frames",
    "CV loss": "loss per frame on held-out speakers; comparable within one criterion only",
    "frame acc.": "share of held-out frames whose most probable state is the aligned one",
    "LMWT": "language model weight, chosen on dev",
    "WIP": "word insertion penalty, chosen on dev",
    "95 %": "confidence interval: what another test set of this size might have shown",
    "M params": "million parameters of the network",
    "real-time factor": "seconds of work for a second of speech; under 1 is faster than speech",
    "gates": "the highway gates, which all hidden layers share",
    "eval": "evaluation set, looked at once everything is chosen",
    "dev": "development set, on which weights and penalties are chosen",
    "seeds": "trainings that differ in their random numbers only",
}
_PATTERN = re.compile(
    "|".join(rf"(?<![\w.-]){re.escape(html.escape(t))}(?![\w])" for t in sorted(TERMS, key=len, reverse=True))
)


def explained(text: str) -> str:
    """Plain text as HTML, its terms with explanations."""
    return _PATTERN.sub(
        lambda m: f'<abbr title="{html.escape(TERMS[html.unescape(m[0])])}" tabindex="0">{m[0]}</abbr>',
        html.escape(text),
    )
