"""BLEU and NIST: how many n-grams of the texts stand in their references."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from simulator.metrics.missing import library

LONGEST: Final = 5
"""n-grams that NIST counts."""

_BETA: Final = math.log(0.5) / math.log(1.5) ** 2  # half the score for a text of 2/3 of the length
_Ngram = tuple[str, ...]


def bleu(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """BLEU-4 of a corpus in per cent (Papineni et al., 2002), by sacrebleu: lower case, tokens of mteval-v13a.

    Not smoothed: 0 where no sequence of four words is in any reference. Raises `MissingError` without sacrebleu.
    """
    most = max(map(len, references))
    columns = [[each[index] if index < len(each) else None for each in references] for index in range(most)]
    score = library("sacrebleu").metrics.BLEU(lowercase=True, tokenize="13a", smooth_method="none", force=True)
    return float(score.corpus_score(list(texts), columns).score)


def nist(texts: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """NIST-5 of a corpus (Doddington, HLT 2002), as mteval-v13a and the E2E script count it; tokens as in `bleu`.

    sum over n of (information of the n-grams found, clipped at their largest number in one reference) / (n-grams in the
    texts), times exp(beta log(L / L_ref)^2) where the texts are shorter than their references on average. The
    information of w1..wn is log2(count(w1..wn-1) / count(w1..wn)) over all references.

    Computed here because NLTK's corpus_nist takes the best single reference instead of all of them together, which is
    not what is published; with one reference each, both agree. Raises `MissingError` without sacrebleu, whose tokens it
    takes.
    """
    tokenize = library("sacrebleu.tokenizers.tokenizer_13a").Tokenizer13a()
    split = [tokenize(text.lower()).split() for text in texts]
    split_references = [[tokenize(text.lower()).split() for text in each] for each in references]
    counts: Counter[_Ngram] = Counter()
    for each in split_references:
        for reference in each:
            counts.update(gram for n in range(1, LONGEST + 1) for gram in _ngrams(reference, n))
            counts[()] += len(reference)
    score = 0.0
    for n in range(1, LONGEST + 1):
        found = sum(_information(text, each, n, counts) for text, each in zip(split, split_references, strict=True))
        total = sum(max(len(text) - n + 1, 0) for text in split)
        score += found / total if total else 0.0
    length = sum(map(len, split))
    wanted = sum(sum(map(len, each)) / len(each) for each in split_references)
    return score * _penalty(length / wanted if wanted else 0.0)


def _information(text: Sequence[str], references: Iterable[Sequence[str]], n: int, counts: Counter[_Ngram]) -> float:
    """Of the n-grams of a text that stand in its references, each as often as it stands in one of them."""
    most: Counter[_Ngram] = Counter()
    for reference in references:
        most |= Counter(_ngrams(reference, n))
    hits = Counter(_ngrams(text, n)) & most
    return sum(math.log2(counts[gram[:-1]] / counts[gram]) * hit for gram, hit in hits.items())


def _penalty(ratio: float) -> float:
    if ratio <= 0:
        return 0.0
    return 1.0 if ratio >= 1 else math.exp(_BETA * math.log(ratio) ** 2)


def _ngrams(tokens: Sequence[str], n: int) -> list[_Ngram]:
    return [tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1)]
