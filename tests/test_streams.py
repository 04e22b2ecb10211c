from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.streams import seed_of, stream

ROOT_SEEDS = st.integers(0, 2**64)
PARTS = st.lists(st.one_of(st.text(max_size=8), st.integers()), min_size=1, max_size=4)


@given(root=ROOT_SEEDS, name=PARTS)
def test_equal_names_give_equal_draws(root, name):
    assert np.array_equal(stream(root, *name).integers(2**63, size=4), stream(root, *name).integers(2**63, size=4))
    assert seed_of(root, *name) == seed_of(root, *name)


@given(root=ROOT_SEEDS, one=PARTS, other=PARTS)
def test_different_names_give_different_draws(root, one, other):
    same_name = [str(part) for part in one] == [str(part) for part in other]
    assert (stream(root, *one).integers(2**63) == stream(root, *other).integers(2**63)) == same_name
    assert (seed_of(root, *one) == seed_of(root, *other)) == same_name


def test_different_root_seeds_give_different_draws():
    assert len({stream(root, "data").integers(2**63) for root in range(1000)}) == 1000


def test_a_stream_is_the_same_whatever_other_streams_there_are_and_however_much_they_draw():
    alone = stream(7, "link", "wifi-3", "loss").random(8)
    for other in range(50):
        stream(7, "link", f"wifi-{other}", "loss").random(other)
    crowded = stream(7, "link", "wifi-3", "loss")
    first_half = crowded.random(4)
    stream(7, "link", "wifi-4", "loss").random(1000)
    assert np.array_equal(alone, np.concatenate([first_half, crowded.random(4)]))


def test_a_name_is_its_parts_and_not_their_concatenation():
    assert seed_of(7, "ab", "c") != seed_of(7, "a", "bc") != seed_of(7, "abc")
    assert seed_of(7, "device", 1, 23) != seed_of(7, "device", 12, 3)


def test_a_number_and_its_digits_are_the_same_part_of_a_name():
    assert seed_of(7, "device", 3) == seed_of(7, "device", "3") == seed_of(7, "device", np.int64(3))


def test_two_names_whose_hashes_begin_with_the_same_32_bits_have_different_streams():
    one, other = "device-8472", "device-25369"
    digests = [sha256(len(name).to_bytes(8, "big") + name.encode()).digest() for name in (one, other)]
    assert digests[0][:4] == digests[1][:4]
    assert seed_of(7, one) != seed_of(7, other)


def test_draws_of_different_streams_are_unrelated():
    draws = np.array([stream(7, "device", index).standard_normal(1000) for index in range(20)])
    correlations = np.corrcoef(draws)[np.triu_indices(20, k=1)]
    assert np.abs(correlations).max() < 4.5 / np.sqrt(1000)  # 190 pairs: the largest of them is near 3 sigma
    assert abs(draws.mean()) < 4 / np.sqrt(20_000)


def test_streams_draw_what_they_drew_when_this_test_was_written():
    rng = stream(7, "link", "wifi-3", "loss")
    assert rng.integers(2**63, size=3).tolist() == [536048659512828229, 1258275737652170895, 4739488907730760698]
    assert seed_of(7, "link", "wifi-3", "loss") == 4874092088595076076
    assert seed_of(0, "") == 16292169111593939945


def test_a_seed_fits_a_torch_generator():
    torch = pytest.importorskip("torch")
    seeds = [seed_of(7, "dropout", index) for index in range(100)]
    assert max(seeds) > 2**63  # all 64 bits are in use
    assert {torch.Generator().manual_seed(seed).initial_seed() for seed in seeds} == set(seeds)


def test_a_stream_without_a_name_is_refused():
    with pytest.raises(ValueError, match="needs a name of at least one part"):
        stream(7)


def test_a_negative_root_seed_is_refused():
    with pytest.raises(ValueError, match="root seed must be >= 0, got -1"):
        seed_of(-1, "data")
