"""The embedded model: small enough to ship, loads without a network, and writes guide but not yet chat."""

import json

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer, GPT2LMHeadModel

from simulator.restaurants import write
from simulator.sequences import END_OF_TEXT, join
from simulator.training.pretrain import collate, encode, fresh_model, loss_of, perplexity, schedule
from simulator.training.tokens import MINI

README_GUIDE = 1.54
README_CHAT = 52.0


@pytest.fixture(scope="module")
def model():
    return GPT2LMHeadModel.from_pretrained(MINI, dtype=torch.float32, local_files_only=True).eval()


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.from_file(str(MINI / "tokenizer.json"))


@pytest.fixture(scope="module")
def fresh(tokenizer):
    """Texts that pre-training did not see."""
    return {style: encode(tokenizer, write(np.random.default_rng(2024), style, 128)) for style in ("guide", "chat")}


@pytest.fixture(scope="module")
def measured(model, fresh):
    return {style: perplexity(model, rows) for style, rows in fresh.items()}


def test_the_folder_stays_below_six_megabytes():
    assert sum(file.stat().st_size for file in MINI.iterdir()) <= 6e6


def test_it_is_a_gpt2_of_twelve_blocks_of_width_96(model):
    assert len(model.transformer.h) == 12
    assert model.transformer.wte.weight.shape == (1280, 96)
    assert model.transformer.wpe.weight.shape == (128, 96)
    assert model.config.attn_pdrop == model.config.resid_pdrop == model.config.embd_pdrop == 0


def test_the_stored_halves_become_float32_where_the_caller_does_not_say():
    assert GPT2LMHeadModel.from_pretrained(MINI, local_files_only=True).dtype == torch.float32


def test_the_head_is_the_embedding_and_is_stored_once(model):
    assert model.lm_head.weight is model.transformer.wte.weight
    stored = (MINI / "model.safetensors").stat().st_size
    assert stored == pytest.approx(2 * model.num_parameters(), rel=0.01)  # float16; the header is below 1 %


@pytest.mark.parametrize("text", ["Café Zürich — £20\n\t| 5 of 5", " The Copper Heron is a pub.", "omg  so good, 日本"])
def test_any_text_survives_the_tokenizer(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_transformers_loads_the_same_tokenizer(tokenizer):
    other = AutoTokenizer.from_pretrained(MINI, local_files_only=True)
    for style in ("guide", "chat"):
        for example in write(np.random.default_rng(1), style, 50):
            text = "".join(join(example))
            assert other(text)["input_ids"] == tokenizer.encode(text).ids
    assert other.eos_token_id == tokenizer.token_to_id(END_OF_TEXT) == 0


def test_prompt_and_reference_tokenize_apart_as_together(tokenizer):
    for example in write(np.random.default_rng(1), "chat", 200):
        prompt, reference = join(example)
        apart = tokenizer.encode(prompt).ids + tokenizer.encode(reference).ids
        assert apart == tokenizer.encode(prompt + reference).ids


@pytest.mark.parametrize("style", ["guide", "chat"])
def test_most_sequences_fit_64_tokens(fresh, style):
    lengths = [len(ids) for ids, _ in fresh[style]]
    assert 35 <= np.median(lengths) <= 55
    assert np.mean(np.array(lengths) <= 64) >= 0.9
    assert max(lengths) <= 128


def test_perplexity_is_what_the_readme_says(measured):
    assert measured["guide"] == pytest.approx(README_GUIDE, rel=0.1)
    assert measured["chat"] == pytest.approx(README_CHAT, rel=0.3)


def test_chat_is_clearly_harder_than_guide_and_both_easier_than_for_random_weights(measured, fresh):
    nothing_learned = perplexity(fresh_model(0), fresh["guide"])
    assert nothing_learned > 500  # near the 1280 of a uniform guess
    assert 10 * measured["guide"] < measured["chat"] < 0.2 * nothing_learned


def test_positions_up_to_the_last_one_are_trained(model, fresh):
    ids, weights = collate([row for row in fresh["guide"] if len(row[0]) <= 60], 0.0)
    with torch.no_grad():
        early, late = (loss_of(model, ids, weights, offset)[0].item() for offset in (0, 128 - ids.shape[1]))
    assert late < 1.25 * early


def test_greedy_decoding_copies_the_name_that_it_was_given(model, tokenizer):
    examples = write(np.random.default_rng(77), "guide", 12)
    copied = sum(example.value("name") in continuation(model, tokenizer, join(example)[0]) for example in examples)
    assert copied >= 10


def continuation(model, tokenizer, prompt):
    ids = tokenizer.encode(prompt).ids
    start = len(ids)
    with torch.no_grad():
        while len(ids) < 110 and ids[-1] != 0:
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return tokenizer.decode(ids[start:])


def test_what_was_measured_is_shipped_with_the_weights():
    note = json.loads((MINI / "measured.json").read_text())
    assert note["perplexity"]["guide"] == pytest.approx(README_GUIDE, rel=0.1)


def test_the_loss_counts_references_and_ends_only_where_prompts_weigh_nothing(model):
    ids, weights = collate([(np.array([5, 6, 7, 8, 0]), 3), (np.array([5, 6, 0]), 2)], 0.0)
    _, counted = loss_of(model, ids, weights)
    assert counted == 3  # 8 and the end of the first, the end of the second; padding weighs nothing


def test_the_learning_rate_warms_up_and_ends_near_zero():
    assert schedule(0, 0.0) == pytest.approx(0.01)
    assert schedule(99, 0.0) == pytest.approx(1.0)
    assert schedule(5000, 1.0) == pytest.approx(0.02)
