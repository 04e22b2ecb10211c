import dataclasses
import struct

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from simulator.messages import (
    BFLOAT16,
    DTYPES,
    KINDS,
    Message,
    Spec,
    activations_specs,
    adapter_specs,
    frame_bytes,
    gradients_specs,
    ignored_label,
    label_dtype,
    labels_specs,
    pack,
    specs_of,
    unpack,
)

ROUNDS = st.integers(0, 2**32 - 1)
NAMES = st.text(min_size=1, max_size=40)  # at most 160 bytes
SHAPES = hnp.array_shapes(min_dims=0, max_dims=8, min_side=0, max_side=3)
ARRAYS = st.sampled_from(sorted(DTYPES)).flatmap(
    lambda name: hnp.arrays(np.uint8, SHAPES.map(lambda shape: (*shape, DTYPES[name].itemsize))).map(
        lambda raw: raw.view(DTYPES[name])[..., 0]
    )
)
TENSORS = st.dictionaries(NAMES, ARRAYS, max_size=20)


def zeros(specs):
    """Real arrays for specs."""
    return {name: np.zeros(spec.shape, DTYPES[spec.dtype]) for name, spec in specs.items()}


def same(one, other):
    """Equal in dtype, shape and every bit."""
    return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


def assert_a_frame_or_a_value_error(frame):
    try:
        kind, round, tensors = unpack(frame)
    except ValueError as error:
        sentence = str(error)
    else:
        sentence = "accepted"
        assert pack(kind, round, tensors) == frame
    assert sentence
    assert "\n" not in sentence


@given(kind=st.sampled_from(KINDS), round=ROUNDS, tensors=TENSORS)
def test_a_frame_unpacks_to_what_was_packed(kind, round, tensors):
    read_kind, read_round, read = unpack(pack(kind, round, tensors))
    assert (read_kind, read_round, list(read)) == (kind, round, list(tensors))
    assert all(same(read[name], tensors[name]) for name in tensors)
    assert all(array.flags.writeable for array in read.values())


@given(kind=st.sampled_from(KINDS), round=ROUNDS, tensors=TENSORS)
def test_the_length_of_a_frame_is_known_without_building_it(kind, round, tensors):
    assert frame_bytes(kind, specs_of(tensors)) == len(pack(kind, round, tensors))


@pytest.mark.parametrize("count", [0, 15, 16, 300])
@pytest.mark.parametrize("size", [0, 1, 31, 32, 127, 128, 255, 256, 65535, 65536])
def test_lengths_are_exact_on_both_sides_of_every_header(count, size):
    tensors = {"n" * min(max(size, 1), 255): np.zeros(size, np.int8), "2d": np.zeros((size, 2), np.float32)}
    tensors |= {f"{index}": np.zeros((), np.int8) for index in range(count)}
    assert frame_bytes("adapter", specs_of(tensors)) == len(pack("adapter", 0, tensors))


def test_a_small_frame_weighs_what_the_msgpack_specification_says():
    # array 1, version 1, "control" 1 + 7, round 5, array 1;
    # tensor: array 1, "x" 1 + 1, "float32" 1 + 7, shape array 1 and the int 3 in 1, bin header 2, data 12
    frame = pack("control", 9, {"x": np.array([1, 2, 3], np.float32)})
    assert len(frame) == 1 + 1 + 8 + 5 + 1 + (1 + 2 + 8 + 2 + 2 + 12) == 43
    assert frame.endswith(struct.pack("<3f", 1, 2, 3))


def test_any_msgpack_reader_can_read_a_frame():
    frame = pack("control", 9, {"x": np.array([[1, 2]], np.int8)})
    assert msgpack.unpackb(frame) == [1, "control", 9, [["x", "int8", [1, 2], b"\x01\x02"]]]


def test_the_first_and_the_last_round_weigh_the_same():
    tensors = {"x": np.ones(3, np.float32)}
    assert len({len(pack("gradients", round, tensors)) for round in (0, 127, 128, 65536, 2**32 - 1)}) == 1


def test_the_length_of_gigabytes_is_computed_without_gigabytes():
    # 1024 x 512 x 1600 x 4 B = 3,355,443,200 B of data; the parts of the frame around it as in the small frame
    specs = {"activations": Spec((1024, 512, 1600), "float32")}
    assert frame_bytes("activations", specs) == 3_355_443_200 + (1 + 1 + 12 + 5 + 1) + (1 + 12 + 8 + 1 + 9 + 5)
    assert frame_bytes("activations", dict.fromkeys("abc", specs["activations"])) > 10**10


def test_bfloat16_travels_as_its_bits_and_is_still_known_as_bfloat16():
    bits = np.array([0x3F80, 0xC000], np.uint16)  # 1.0 and -2.0
    _, _, tensors = unpack(pack("activations", 0, {"x": bits.view(BFLOAT16)}))
    assert specs_of(tensors) == {"x": Spec((2,), "bfloat16")}
    assert np.array_equal(tensors["x"]["bfloat16"], bits)
    widened = (tensors["x"]["bfloat16"].astype(np.uint32) << 16).view(np.float32)
    assert widened.tolist() == [1.0, -2.0]


def test_byte_order_and_memory_layout_of_the_sender_do_not_matter():
    values = np.arange(6, dtype=np.int32).reshape(2, 3)
    senders = [values, values.astype(">i4"), np.asfortranarray(values), np.repeat(values, 2, axis=1)[:, ::2]]
    assert len({pack("control", 0, {"x": array}) for array in senders}) == 1


def test_a_dtype_that_may_not_travel_is_refused_at_the_sender():
    for array in (np.array(["text"]), np.array([object()]), np.array([1j]), np.zeros(1, [("x", "<u2")])):
        with pytest.raises(ValueError, match="unknown dtype"):
            pack("control", 0, {"x": array})


@given(data=st.data(), tensors=st.dictionaries(NAMES, ARRAYS, max_size=3))
def test_a_truncated_frame_is_refused(data, tensors):
    frame = pack("activations", 3, tensors)
    end = data.draw(st.integers(0, len(frame) - 1))
    with pytest.raises(ValueError, match=r"frame|tensor|array"):
        unpack(frame[:end])


@given(data=st.data(), tensors=st.dictionaries(NAMES, ARRAYS, max_size=3))
def test_a_frame_with_flipped_bits_is_refused_or_is_another_frame(data, tensors):
    frame = bytearray(pack("activations", 3, tensors))
    for _ in range(data.draw(st.integers(1, 4))):
        frame[data.draw(st.integers(0, len(frame) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert_a_frame_or_a_value_error(bytes(frame))


def test_every_single_flipped_bit_of_a_frame_is_survived():
    frame = pack("adapter", 3, {"0.q.A": np.ones((2, 3), np.float32), "b": np.zeros(0, np.int8).view(np.int8)})
    for bit in range(8 * len(frame)):
        flipped = bytearray(frame)
        flipped[bit // 8] ^= 1 << bit % 8
        assert_a_frame_or_a_value_error(bytes(flipped))


@given(noise=st.binary(max_size=200))
def test_noise_is_refused_in_one_sentence_or_is_a_frame(noise):
    assert_a_frame_or_a_value_error(noise)


MSGPACK_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(version=st.just(1) | MSGPACK_VALUES, kind=st.just("control") | MSGPACK_VALUES, rest=MSGPACK_VALUES)
def test_frames_of_the_wrong_fields_are_refused(version, kind, rest):
    for fields in (rest, [version, kind], [version, kind, 0, rest], [version, kind, 0, [["x", "int8", [1], rest]]]):
        assert_a_frame_or_a_value_error(msgpack.packb(fields))


HOSTILE = {
    "nothing": b"",
    "a reserved byte": b"\xc1",
    "an array of four thousand million": b"\xdd\xff\xff\xff\xff",
    "data of four gigabytes": b"\x94\x01\xa7control\xce\0\0\0\0\x91\x94\xa1x\xa4int8\x91\x01\xc6\xff\xff\xff\xff",
    "arrays in arrays": b"\x91" * 100_000,
    "long arrays in long arrays": b"\xdc\x10\x00" * 100_000,
    "a timestamp": b"\xd6\xff\0\0\0\0",
    "an extension": b"\xc7\x00\x05",
    "a map": b"\x81\xa1a\x01",
    "a frame and more": pack("control", 0, {}) + b"\0",
    "another version": msgpack.packb([2, "control", 0, []]),
    "true for a version": b"\x94\xc3\xa7control\xce\0\0\0\0\x90",
}


@pytest.mark.parametrize("frame", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_frames_are_refused_in_one_sentence(frame):
    with pytest.raises(ValueError, match="frame") as refusal:
        unpack(frame)
    assert "\n" not in str(refusal.value)


def frame_of(*tensors, kind="control", round=0):
    """A frame written without our code, in our spelling."""
    head = b"\x94\x01" + msgpack.packb(kind) + b"\xce" + struct.pack(">I", round)
    return head + msgpack.packb(list(tensors))


@pytest.mark.parametrize(
    ("tensor", "sentence"),
    [
        (["x", "float31", [1], b"\0" * 4], r"unknown dtype 'float31' .* did you mean 'float32'\?"),
        (["x", "object", [1], b"\0" * 8], "unknown dtype 'object'"),
        (["x", "O", [1], b"\0" * 8], "unknown dtype 'O'"),
        (["x", "int8", [2], b"\0"], r"tensor 'x' \(2,\) int8 has 2 bytes, got 1"),
        (["x", "int8", [-1], b""], "a dimension must be in 0..4294967295, got -1"),
        (["x", "int8", [True], b"\0"], "must be an array of integers"),
        (["x", "int8", [1] * 9, b"\0"], "at most 8 dimensions, got 9"),
        (["x", "float64", [2**31, 2**31], b""], "at most 4294967295 bytes"),
        (["x", "int8", [0, 2**32 - 1, 2**32 - 1, 2**32 - 1], b""], "."),
        (["", "int8", [1], b"\0"], "the name of a tensor must have 1..255 bytes"),
        ([b"x", "int8", [1], b"\0"], "types text, text, array and bytes"),
        (["x", "int8", [1], "\0"], "types text, text, array and bytes"),
        (["x", "int8", 1, b"\0"], "the shape of tensor 'x' must be an array"),
        (["x", "int8", [1]], "a tensor must be an array of 4 fields"),
        (["x" * 256, "int8", [1], b"\0"], "cannot be read"),
    ],
)
def test_a_tensor_that_is_not_what_it_says_is_refused(tensor, sentence):
    with pytest.raises(ValueError, match=sentence):
        unpack(frame_of(tensor))


def test_two_tensors_of_one_name_are_refused():
    with pytest.raises(ValueError, match="holds the tensor 'x' twice"):
        unpack(frame_of(["x", "int8", [1], b"\0"], ["x", "int8", [1], b"\1"]))


def test_a_frame_that_weighs_more_than_it_must_is_refused():
    short = frame_of(["x", "int8", [1], b"\0"])
    padded = short.replace(b"\xc4\x01\0", b"\xc6\0\0\0\x01\0")  # a 32-bit length for one byte
    assert unpack(short)[1] == 0
    with pytest.raises(ValueError, match=f"has {len(short)} bytes, got {len(padded)}"):
        unpack(padded)


def test_what_cannot_be_read_cannot_be_packed_either():
    with pytest.raises(ValueError, match=r"must be in 0\.\.4294967295, got -1"):
        pack("control", -1, {})
    with pytest.raises(ValueError, match=r"must be in 0\.\.4294967295, got 4294967296"):
        pack("control", 2**32, {})
    with pytest.raises(ValueError, match=r"unknown kind of message 'gradient' .* did you mean 'gradients'\?"):
        pack("gradient", 0, {})
    with pytest.raises(ValueError, match="at most 4096 tensors, got 4097"):
        pack("control", 0, {str(index): np.zeros((), np.int8) for index in range(4097)})
    with pytest.raises(ValueError, match=r"must have 1\.\.255 bytes"):
        frame_bytes("control", {"": Spec((), "int8")})
    with pytest.raises(ValueError, match="at most 4294967295 bytes, got 4294967296"):
        Spec((2**30,), "float32")


def test_a_message_shows_its_letterhead_and_hides_its_payload():
    message = Message(sender="pi-3", receiver="server", kind="activations", round=2, size_bytes=512, payload=np.ones(9))
    assert repr(message) == "<Message activations pi-3 -> server round=2 512 B>"
    other = dataclasses.replace(message, payload=np.zeros(9))
    assert (message, hash(message)) == (other, hash(other))
    assert message != dataclasses.replace(message, size_bytes=1)


def test_a_message_must_have_a_known_kind_and_a_weight():
    good = {"sender": "a", "receiver": "b", "kind": "adapter", "round": 0, "size_bytes": 0}
    assert Message(**good).payload is None
    with pytest.raises(ValueError, match=r"unknown kind of message 'adapters' .* did you mean 'adapter'\?"):
        Message(**good | {"kind": "adapters"})
    with pytest.raises(ValueError, match="size_bytes of a message must be >= 0, got -1"):
        Message(**good | {"size_bytes": -1})
    with pytest.raises(ValueError, match="round of a message must be >= 0, got -1"):
        Message(**good | {"round": -1})


def test_labels_take_two_bytes_while_the_vocabulary_leaves_room_for_the_ignored_one():
    assert [label_dtype(size) for size in (1280, 50257, 65534, 65535, 10**6)] == ["uint16"] * 3 + ["int32"] * 2
    for vocab_size in (2, 50257, 65534, 65535, 65536, 10**6):
        largest_token = vocab_size - 1
        assert largest_token < ignored_label(label_dtype(vocab_size))
    assert (ignored_label("uint16"), ignored_label("int32")) == (65535, 2147483647)


def test_the_messages_of_a_step_have_the_shapes_of_the_split():
    activations = activations_specs(4, 512, width=768, vocab_size=50257)
    assert activations == {"activations": Spec((4, 512, 768), "float32"), "labels": Spec((4, 512), "uint16")}
    assert labels_specs(4, 512, vocab_size=50257) == {"labels": activations["labels"]}
    assert gradients_specs(4, 512, width=768, dtype="float16") == {"gradients": Spec((4, 512, 768), "float16")}
    # T d x bytes: 2048 x 768 x 4 B each way in float32, half of it in 16 bits
    assert activations["activations"].size_bytes == 6_291_456
    assert gradients_specs(4, 512, width=768, dtype="bfloat16")["gradients"].size_bytes == 3_145_728
    assert activations["labels"].size_bytes == 2 * 4 * 512


def test_adapters_travel_as_a_and_b_of_every_block_and_target():
    specs = adapter_specs(range(3), {"q": (768, 768), "v": (768, 768)}, rank=4)
    assert len(specs) == 3 * 2 * 2
    assert specs["2.q.A"] == Spec((4, 768), "float32")
    assert specs["2.q.B"] == Spec((768, 4), "float32")
    assert sum(spec.size_bytes for spec in specs.values()) == 147_456


@pytest.mark.parametrize(
    ("kind", "specs"),
    [
        ("activations", activations_specs(2, 128, width=96, vocab_size=1280)),
        ("activations", activations_specs(2, 128, width=96, vocab_size=250_000, dtype="bfloat16")),
        ("labels", labels_specs(2, 128, vocab_size=1280)),
        ("gradients", gradients_specs(2, 128, width=96, dtype="int8")),
        ("adapter", adapter_specs(range(48), {"c_attn": (96, 288), "attn.c_proj": (96, 96)}, rank=8)),
        ("control", {}),
    ],
)
def test_every_message_of_split_training_weighs_what_its_specs_say(kind, specs):
    frame = pack(kind, 1, zeros(specs))
    assert len(frame) == frame_bytes(kind, specs)
    assert specs_of(unpack(frame)[2]) == specs
    assert len(frame) - sum(spec.size_bytes for spec in specs.values()) < 20 + 40 * (len(specs) + 1)


def test_the_weight_of_a_codecs_output_needs_nothing_but_its_specs():
    # int8 values with one float32 scale a token: a quarter of float32 and 4 bytes a token
    coded = {"values": Spec((4, 512, 768), "int8"), "scales": Spec((4, 512), "float32")}
    plain = gradients_specs(4, 512, width=768)
    assert sum(spec.size_bytes for spec in coded.values()) == plain["gradients"].size_bytes // 4 + 4 * 2048
    assert frame_bytes("gradients", coded) == len(pack("gradients", 0, zeros(coded)))


def test_the_dtypes_that_may_travel_are_little_endian_and_of_the_length_their_name_says():
    for name, dtype in DTYPES.items():
        assert 8 * dtype.itemsize == int("".join(filter(str.isdigit, name)))
        assert dtype.newbyteorder("<") == dtype
