"""Text metrics against sums on paper, against NLTK, and against COCO's own tokenizer."""

from __future__ import annotations

import math
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.metrics import METRICS, scores
from simulator.metrics.coco import cider, meteor, rouge_l
from simulator.metrics.ngrams import bleu, nist
from simulator.metrics.words import words

E2E = Path(__file__).parents[2].parent / "shared" / "data" / "e2e"


@pytest.fixture(scope="module", autouse=True)
def installed():
    for package in ("sacrebleu", "pycocoevalcap"):
        pytest.importorskip(package, reason="the extra splitwire[metrics] is not installed")


needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="METEOR and COCO's tokenizer are Java programs")


# BLEU


def test_bleu_of_one_sentence_is_the_geometric_mean_of_four_precisions():
    """5 of 6 words (the second "the" does not count), 3 of 5 pairs, 2 of 4 threes, 1 of 3 fours."""
    expected = 100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25
    assert bleu(["the cat sat on the mat"], [["The cat sat on a mat"]]) == pytest.approx(expected)


def test_bleu_punishes_a_text_shorter_than_its_closest_reference():
    """5 words, all of them right; references of 7 and 11 words: the closest has 7."""
    references = [["a b c d e f g", "a b c d e f g h i j k"]]
    assert bleu(["a b c d e"], references) == pytest.approx(100 * math.exp(1 - 7 / 5))


def test_texts_may_have_different_numbers_of_references():
    assert bleu(["a b c d", "e f g h"], [["a b c d"], ["x", "e f g h", "y"]]) == pytest.approx(100)


def test_without_four_words_in_a_row_bleu_is_zero():
    assert bleu(["a b c x e"], [["a b c d e"]]) == 0


# NIST


def test_nist_of_a_sentence_that_is_its_reference():
    """Two words of two: each is worth log2(2 / 1) = 1 bit; after "a", "b" says nothing. (1 + 1) / 2 + 0 / 1."""
    assert nist(["a b"], [["a b"]]) == pytest.approx(1.0)


def test_nist_of_two_references():
    """5 words: "a" twice, c once. log2(5/2) and log2(5) over 2 words, log2(2/1) for "a c", length 2 of 2.5."""
    found = (math.log2(5 / 2) + math.log2(5)) / 2 + 1
    penalty = math.exp(math.log(0.5) / math.log(1.5) ** 2 * math.log(2 / 2.5) ** 2)
    assert nist(["a c"], [["a b", "a c d"]]) == pytest.approx(found * penalty)


def test_half_the_nist_score_is_left_for_two_thirds_of_the_length():
    """Of "a b c d", 4 bits are log2 4 for each word; "a b c" ... the formula's own anchor: 2 / 3 halves the score."""
    whole = [["a b c d e f"]]
    assert nist(["a b c d"], whole) == pytest.approx(0.5 * math.log2(6))


SENTENCES = st.lists(st.lists(st.sampled_from("abcdefg"), min_size=5, max_size=12), min_size=2, max_size=5)


@given(SENTENCES, SENTENCES)
def test_nist_with_one_reference_each_is_that_of_nltk(texts, references):
    nltk = pytest.importorskip("nltk.translate.nist_score", reason="NLTK is not installed")
    count = min(len(texts), len(references))
    expected = nltk.corpus_nist([[each] for each in references[:count]], texts[:count])
    mine = nist([" ".join(text) for text in texts[:count]], [[" ".join(text)] for text in references[:count]])
    assert mine == pytest.approx(expected, abs=1e-9)


# ROUGE-L


def test_rouge_l_of_one_reference():
    """Four of five words in common and in order: precision and recall 0.8."""
    assert rouge_l(["The pub serves Thai food."], [["the pub has Thai food"]]) == pytest.approx(80)


def test_rouge_l_takes_the_best_precision_and_the_best_recall_of_several():
    """ "a b c d": against "a b" precision 2/4 and recall 1, against "a b c x y z" 3/4 and 3/6."""
    precision, recall = 3 / 4, 1.0
    expected = (1 + 1.2**2) * precision * recall / (recall + 1.2**2 * precision)
    assert rouge_l(["aa bb cc dd"], [["aa bb", "aa bb cc xx yy zz"]]) == pytest.approx(100 * expected)


# CIDEr


def test_cider_is_ten_for_the_references_themselves_and_zero_for_those_of_others():
    texts = ["red pubs serve pies daily", "blue cafes sell fresh soup"]
    assert cider(texts, [[text] for text in texts]) == pytest.approx(10)
    assert cider(texts[::-1], [[text] for text in texts]) == pytest.approx(0)


def cider_by_hand(texts, references, sigma=6.0):
    """CIDEr-D by the formula of the paper: a mean over n = 1 .. 4 of clipped tf-idf cosines, times 10."""

    def grams(text, n):
        parts = text.split()
        return Counter(tuple(parts[i : i + n]) for i in range(len(parts) - n + 1))

    total = 0.0
    for text, own in zip(texts, references, strict=True):
        for n in range(1, 5):
            seen = Counter(gram for each in references for gram in set().union(*(grams(ref, n) for ref in each)))

            def weigh(counts, seen=seen):
                return {g: c * (math.log(len(texts)) - math.log(max(1, seen[g]))) for g, c in counts.items()}

            mine = weigh(grams(text, n))
            for reference in own:
                theirs = weigh(grams(reference, n))
                dot = sum(min(mine[g], theirs[g]) * theirs[g] for g in mine.keys() & theirs.keys())
                norm = math.hypot(*mine.values()) * math.hypot(*theirs.values())
                apart = len(text.split()) - len(reference.split())
                total += (dot / norm if norm else 0) * math.exp(-(apart**2) / (2 * sigma**2)) / 4 / len(own)
    return 10 * total / len(texts)


def test_cider_is_the_formula_of_its_paper():
    texts = ["the mill is a cheap pub", "the mill serves thai food daily", "cheap food by the river"]
    references = [
        ["the mill is a pub", "a cheap pub called the mill"],
        ["the mill sells thai food"],
        ["by the river the food is cheap", "cheap food by the old river bank", "food"],
    ]
    assert cider(texts, references) == pytest.approx(cider_by_hand(texts, references))
    assert 1 < cider(texts, references) < 9


# METEOR


@needs_java
@pytest.mark.slow
def test_meteor_is_one_for_the_reference_itself_and_counts_synonyms_and_stems():
    assert meteor(["the mill is a cheap pub"], [["The mill is a cheap pub."]]) == pytest.approx(1.0)
    exact, synonym, stem, other = (
        meteor([f"the mill is a {word} here"], [["the mill is a large building here"]])
        for word in ("large building", "big building", "large buildings", "zzz yyy")
    )
    assert exact == pytest.approx(1.0)
    assert exact > synonym > other
    assert exact > stem > other


# words


@needs_java
@pytest.mark.slow
@pytest.mark.skipif(not E2E.is_dir(), reason="the E2E files are not part of the project")
def test_words_are_those_of_cocos_tokenizer():
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    from simulator.training.examples import read

    files = ("original/testset_w_refs.csv.gz", "test.txt.gz", "original/devset.csv.gz", "valid.txt.gz")
    texts = list(dict.fromkeys(example.text for name in files for example in read(E2E / name)))
    theirs = PTBTokenizer().tokenize({index: [{"caption": text}] for index, text in enumerate(texts)})
    equal = sum(" ".join(words(text)) == theirs[index][0] for index, text in enumerate(texts))
    assert len(texts) == 17801
    assert equal / len(texts) > 0.9985


def test_contractions_and_pounds_are_words_and_punctuation_is_not():
    said = "It isn't cheap: £20.50, they're \"family-friendly\" (5 out of 5)."
    wanted = "it is n't cheap # 20.50 they 're family-friendly 5 out of 5"
    assert " ".join(words(said)) == wanted


# all of them


def test_what_is_not_installed_is_left_out_and_named(monkeypatch):
    for package in ("sacrebleu", "pycocoevalcap"):
        for module in [name for name in sys.modules if name.partition(".")[0] == package]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, package, None)
    found, left_out = scores(["a b c d"], [["a b c d"]])
    assert found == {}
    assert set(left_out) == set(METRICS)
    for name, package in (("bleu_percent", "sacrebleu"), ("nist", "sacrebleu"), ("cider", "pycocoevalcap")):
        assert left_out[name] == f"needs the package {package}: pip install 'splitwire[metrics]'"


def test_without_java_only_meteor_is_left_out(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    found, left_out = scores(["the mill is a pub"], [["the mill is a pub"]])
    assert set(found) == {"bleu_percent", "nist", "rouge_l_percent", "cider"}
    assert left_out["meteor"].startswith("needs Java")


def test_a_text_without_a_reference_is_refused():
    with pytest.raises(ValueError, match="metrics need texts with references each"):
        scores(["a"], [[]])
