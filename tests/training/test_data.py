"""Examples, their partition over devices, and their encoding."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from simulator.training.data import TrainingData
from simulator.training.encoding import IGNORED, padded, tokenize
from simulator.training.examples import find, read
from simulator.training.models import ModelPlan, load
from simulator.training.partition import dirichlet, iid, sizes
from simulator.training.plan import DataPlan
from simulator.training.tokens import MINI

E2E = Path(__file__).parents[2].parent / "shared" / "data" / "e2e"
LINE = "name : The Vaults | Type : pub | food : Thai||The Vaults is a Thai pub ."


def plan(**changes: object) -> DataPlan:
    values = {
        "source": "generated", "path": None, "validation_path": None, "samples_per_device": 20,
        "validation_samples": 16, "partition": "dirichlet", "alpha": 0.5, "slot": "food", "size_spread": 0.0,
        "labels": "reference", "sequences": 2, "tokens": 64,
    }  # fmt: skip
    return DataPlan(**{**values, **changes})


@pytest.fixture(scope="module")
def tokenizer():
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(MINI / "tokenizer.json"))


def data(tokenizer, *, devices=5, seed=1, **changes) -> TrainingData:
    return TrainingData(plan(**changes), tokenizer, end=0, devices=devices, seed=seed)


# partition


def test_sizes_are_equal_without_spread_and_keep_the_total_with_it():
    assert sizes(np.random.default_rng(1), devices=4, mean=10, spread=0.0) == [10, 10, 10, 10]
    spread = sizes(np.random.default_rng(1), devices=50, mean=10, spread=1.0)
    assert sum(spread) == 500
    assert min(spread) >= 1
    assert max(spread) > 20


@pytest.mark.parametrize("deal", ["iid", "dirichlet"])
def test_every_example_is_dealt_out_once(deal):
    counts, labels = [3, 5, 2], list("aabbbccddd")
    rng = np.random.default_rng(2)
    hands = iid(rng, counts) if deal == "iid" else dirichlet(rng, counts, labels, alpha=0.3)
    assert [len(hand) for hand in hands] == counts
    assert sorted(index for hand in hands for index in hand) == list(range(10))


def mean_largest_share(alpha: float) -> float:
    """How large the most frequent label is on an average device."""
    labels = [str(index % 10) for index in range(4000)]
    hands = dirichlet(np.random.default_rng(3), [40] * 100, labels, alpha=alpha)
    return float(np.mean([np.bincount([int(labels[i]) for i in hand], minlength=10).max() / 40 for hand in hands]))


def test_a_small_alpha_makes_devices_different_and_a_large_one_makes_them_alike():
    assert mean_largest_share(0.05) > 0.6
    assert mean_largest_share(1000.0) < 0.3  # 10 labels: 0.1, and some luck


# files


def test_a_text_line_becomes_slots_and_reference(tmp_path):
    (tmp_path / "train.txt").write_text(LINE + " \n\n")
    (example,) = read(tmp_path / "train.txt")
    assert example.slots == (("name", "The Vaults"), ("type", "pub"), ("food", "Thai"))
    assert example.text == "The Vaults is a Thai pub ."


def test_a_csv_row_becomes_the_same_slots(tmp_path):
    (tmp_path / "train.csv").write_text('mr,ref\n"name[The Vaults], eatType[pub], food[Thai]",A Thai pub.\n')
    (example,) = read(tmp_path / "train.csv")
    assert example.slots == (("name", "The Vaults"), ("type", "pub"), ("food", "Thai"))


def test_gzip_is_read_as_it_is(tmp_path):
    (tmp_path / "valid.txt.gz").write_bytes(gzip.compress(LINE.encode()))
    assert find(tmp_path, "valid").name == "valid.txt.gz"
    assert len(read(find(tmp_path, "valid"))) == 1


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("train.txt", b"\n\n", "no usable line"),
        ("train.txt", b"name : A||text\nno separator here\n", ":2:"),
        ("train.csv", b"a,b\n1,2\n", "columns mr and ref"),
        ("train.csv", b"mr,ref\nnonsense,text\n", ":2:"),
        ("train.txt.gz", b"\x1f\x8bgarbage", "cannot be read"),
        ("train.txt", b"\xff\xfe\x00", "cannot be read"),
        ("train.txt.gz", gzip.compress(b"x" * 1000, mtime=0)[:20] + b"\0" * 20, "cannot be read"),
        ("train.csv", b'mr,ref\n"name[A]","' + b"x" * 200_000 + b'"\n', "cannot be read"),
    ],
)
def test_a_file_that_holds_something_else_is_refused_with_its_name(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=reason) as caught:
        read(tmp_path / name)
    assert name in str(caught.value)


def test_a_folder_without_a_train_file_says_what_it_has(tmp_path):
    (tmp_path / "notes.md").write_text("x")
    with pytest.raises(ValueError, match=r"no train file.*notes\.md"):
        find(tmp_path, "train")


@pytest.mark.skipif(not E2E.is_dir(), reason="the E2E files are not part of the project")
@pytest.mark.parametrize(("part", "count"), [("train", 42061), ("valid", 4672), ("test", 4693)])
def test_the_e2e_files_have_as_many_examples_in_both_forms(part, count):
    assert len(read(find(E2E, part))) == count
    original = {"train": "train", "valid": "valid", "test": "test"}[part]
    assert len(read(find(E2E / "original", original))) == count


# encoding


def test_labels_are_the_reference_and_the_end_shifted_by_one(tokenizer):
    example = data(tokenizer)
    ids, labels = example.validation().ids_RT, example.validation().labels_RT
    for row_ids, row_labels in zip(ids, labels, strict=True):
        where = np.flatnonzero(row_labels != IGNORED)
        assert (np.diff(where) == 1).all()  # one stretch
        inside = where[where + 1 < len(row_ids)]
        assert (row_ids[inside[:-1] + 1] == row_labels[inside[:-1]]).all()
        text = tokenizer.decode(row_labels[where].tolist())
        assert "||" not in text
        assert tokenizer.decode(row_ids[: where[0] + 1].tolist()).endswith("||")


def test_labels_all_counts_the_prompt_too(tokenizer):
    some = (data(tokenizer).validation().labels_RT != IGNORED).sum()
    assert (data(tokenizer, labels="all").validation().labels_RT != IGNORED).sum() > 1.5 * some


@pytest.mark.parametrize("padding", ["fixed", "longest", "pack"])
def test_a_length_that_cuts_every_reference_away_is_refused(tokenizer, padding):
    """Packed examples keep their labels in the next window, but held-out ones stand alone."""
    with pytest.raises(ValueError, match=r"training\.tokens = 4 cuts the whole reference off most examples"):
        data(tokenizer, tokens=4, padding=padding)


def test_every_held_out_example_has_a_label_whatever_the_padding(tokenizer):
    for padding in ("fixed", "longest", "pack"):
        held_out = data(tokenizer, tokens=28, padding=padding).validation()
        assert (held_out.labels_RT != IGNORED).any(axis=1).all(), padding


def test_batches_go_through_the_shard_before_they_repeat(tokenizer):
    shards = data(tokenizer)
    seen = np.concatenate([shards.batch(0, round).ids_RT for round in range(1, 11)])  # 10 x 2 = the 20 of a device
    assert len({tuple(row) for row in seen.tolist()}) >= 19  # two generated examples may be equal
    own = {tuple(shards._encoded.ids_RT[index].tolist()) for index in shards.shards[0]}
    assert {tuple(row) for row in seen.tolist()} == own


def test_adding_devices_does_not_change_the_order_in_which_the_first_use_their_own(tokenizer):
    few, many = data(tokenizer, devices=5), data(tokenizer, devices=9)

    def places(shards: TrainingData, device: int) -> list[int]:
        return [shards.shards[device].index(shards._at(device, shards.shards[device], index)) for index in range(40)]

    assert [places(few, device) for device in range(5)] == [places(many, device) for device in range(5)]
    assert places(few, 0) != places(few, 1)


def test_examples_whose_reference_would_be_cut_away_are_not_dealt_out(tokenizer):
    short = data(tokenizer, tokens=28)
    for device in range(5):
        for round in range(1, 11):
            assert (short.batch(device, round).labels_RT != IGNORED).any(axis=1).all()


def test_one_file_for_both_parts_must_leave_something_to_train_on(tokenizer, tmp_path):
    (tmp_path / "all.txt").write_text(f"{LINE}\n" * 10)
    with pytest.raises(ValueError, match=r"holds 10 examples, of which data\.validation_samples = 16 would leave none"):
        data(tokenizer, source="e2e", path=tmp_path / "all.txt", partition="iid")


def test_too_few_held_out_examples_name_the_key_to_lower(tokenizer, tmp_path):
    (tmp_path / "train.txt").write_text(f"{LINE}\n" * 200)
    (tmp_path / "valid.txt").write_text(f"{LINE}\n" * 10)
    with pytest.raises(ValueError, match=r"valid\.txt holds 10 .* lower data\.validation_samples"):
        data(tokenizer, source="e2e", path=tmp_path, partition="iid")


def test_encode_puts_prompt_reference_and_end_one_after_the_other(tokenizer, tmp_path):
    (tmp_path / "a.txt").write_text(LINE)
    sequences = padded(tokenize(tokenizer, 0, read(tmp_path / "a.txt"), "all"), 128, 0)
    whole = [int(sequences.ids_RT[0, 0]), *sequences.labels_RT[0][sequences.labels_RT[0] != IGNORED].tolist()]
    assert tokenizer.decode(whole) == "name : The Vaults | type : pub | food : Thai || The Vaults is a Thai pub ."
    assert whole[-1] == 0


def test_too_few_examples_say_how_many_are_there_and_needed(tokenizer, tmp_path):
    (tmp_path / "train.txt").write_text(f"{LINE}\n" * 30)
    with pytest.raises(ValueError, match=r"holds 14 examples, but 100 are needed; lower data\.samples_per_device"):
        data(tokenizer, source="e2e", path=tmp_path / "train.txt", partition="iid")


def test_a_slot_that_is_the_same_everywhere_cannot_make_devices_different(tokenizer, tmp_path):
    (tmp_path / "train.txt").write_text(f"{LINE}\n" * 200)
    with pytest.raises(ValueError, match=r"all 100 examples have the same 'food'.*slots there: food, name, type"):
        data(tokenizer, source="e2e", path=tmp_path / "train.txt")
    with pytest.raises(ValueError, match=r"data\.slot: unknown slot 'foot'; did you mean 'food'\?"):
        data(tokenizer, source="e2e", path=tmp_path / "train.txt", slot="foot")


# models


def test_an_unknown_model_without_network_says_what_to_do(monkeypatch):
    import huggingface_hub
    import torch

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)  # as HF_HUB_OFFLINE=1 does at the start
    with pytest.raises(ValueError, match="set model.name to it"):
        load(ModelPlan("nobody/nothing"), torch.device("cpu"))


def test_a_folder_without_weights_is_refused_by_name(tmp_path):
    import torch

    (tmp_path / "tokenizer.json").write_bytes((MINI / "tokenizer.json").read_bytes())
    (tmp_path / "config.json").write_bytes((MINI / "config.json").read_bytes())
    with pytest.raises(
        ValueError, match=r"model.name: the folder .* has no model\.safetensors; it needs config\.json, "
    ):
        load(ModelPlan(str(tmp_path)), torch.device("cpu"))


def test_random_weights_need_no_network_only_a_tokenizer():
    import torch

    plan = ModelPlan("distilgpt2", tokenizer="mini", init="random", seed=3)
    first, second = (load(plan, torch.device("cpu")).model for _ in range(2))
    assert first.config.n_layer == 6
    assert torch.equal(first.transformer.h[5].mlp.c_fc.weight, second.transformer.h[5].mlp.c_fc.weight)


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(tmp_path):
    import torch

    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((MINI / name).read_bytes())
    config = (MINI / "config.json").read_text().replace('"vocab_size": 1280', '"vocab_size": 100')
    (tmp_path / "config.json").write_text(config)
    plan = ModelPlan(str(tmp_path), tokenizer="mini", init="random")
    with pytest.raises(ValueError, match="has 1280 tokens, but model .* only 100"):
        load(plan, torch.device("cpu"))
