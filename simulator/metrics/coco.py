"""METEOR, ROUGE-L and CIDEr by COCO's caption evaluation (pycocoevalcap), on `words`."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any

from simulator.metrics.missing import MissingError, library
from simulator.metrics.words import words


def meteor(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """METEOR 1.5 (Denkowski and Lavie, 2014) in English, by its own program: stems, synonyms and paraphrases count.

    Raises `MissingError` without pycocoevalcap, which brings the program, or without Java, which runs it.
    """
    module = library("pycocoevalcap.meteor.meteor")
    if shutil.which("java") is None:
        raise MissingError("needs Java on the path: it is METEOR's own program that counts synonyms and paraphrases")
    try:
        return _mean(module.Meteor(), texts, references)
    except (OSError, ValueError) as error:  # it answers nothing, which is no number
        raise MissingError(f"its Java program does not run here ({error})") from error


def rouge_l(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """ROUGE-L (Lin, 2004) in per cent, COCO's: mean of F with beta 1.2 of the best precision and the best recall.

    Raises `MissingError` without pycocoevalcap.
    """
    return 100 * _mean(library("pycocoevalcap.rouge.rouge").Rouge(), texts, references)


def cider(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """CIDEr (Vedantam, Zitnick and Parikh, 2015), COCO's CIDEr-D: mean over the texts, 10 at most.

    How rare an n-gram is is counted over the references of these very texts: scores of different sets, or of parts of
    one, cannot be compared, and that of a single text is 0. Raises `MissingError` without pycocoevalcap.
    """
    return _mean(library("pycocoevalcap.cider.cider").Cider(), texts, references)


def _mean(scorer: Any, texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:  # noqa: ANN401
    """A COCO scorer's mean over the texts."""
    spelled = {index: [" ".join(words(text))] for index, text in enumerate(texts)}
    truths = {index: [" ".join(words(text)) for text in each] for index, each in enumerate(references)}
    return float(scorer.compute_score(truths, spelled)[0])
