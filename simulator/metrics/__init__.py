"""Text metrics of the E2E NLG challenge: BLEU, NIST, METEOR, ROUGE-L and CIDEr, each against several references.

The scores of the official script (Dusek, Novikova, Rieser, github tuetschek/e2e-metrics), from the libraries that it is
made of or their heirs: sacrebleu for BLEU, and pycocoevalcap, the COCO caption evaluation in Python 3, for METEOR 1.5
(a Java program with its tables of paraphrases and synonyms), ROUGE-L and CIDEr. NIST is computed here, see `nist`. A
metric whose library is absent is left out and named, never zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from simulator.metrics.coco import cider, meteor, rouge_l
from simulator.metrics.missing import MissingError
from simulator.metrics.ngrams import bleu, nist

Metric = Callable[[Sequence[str], Sequence[Sequence[str]]], float]
"""Of texts, and of the references of each: one score of all. Raises `MissingError`."""

METRICS: Final[dict[str, Metric]] = {
    "bleu_percent": bleu,
    "nist": nist,
    "meteor": meteor,
    "rouge_l_percent": rouge_l,
    "cider": cider,
}
"""As the papers print them: BLEU and ROUGE-L in per cent, the others not."""


def scores(texts: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[dict[str, float], dict[str, str]]:
    """Every metric that can be computed here, and why the others cannot.

    Raises ValueError for no texts, or a text without a reference.
    """
    if not texts or len(texts) != len(references) or not all(references):
        raise ValueError(f"metrics need texts with references each, got {len(texts)} and {len(references)}")
    found: dict[str, float] = {}
    left_out: dict[str, str] = {}
    for name, metric in METRICS.items():
        try:
            found[name] = metric(texts, references)
        except MissingError as missing:
            left_out[name] = str(missing)
    return found, left_out
