"""What devices and servers say to each other, and the exact weight of it in bytes.

A ``Message`` has two separate fields for what it weighs (``size_bytes``, which the network charges) and what it carries
(``payload``, which the network never looks at). On real sockets the payload is a frame, one msgpack value:

    [version, kind, round, [[name, dtype, shape, data], ...]]

with little-endian data in C order. Integers are as short as msgpack allows, except the round, which always takes five
bytes: so the length of a frame follows from names, dtypes and shapes alone, and ``frame_bytes`` needs no data.
A codec changes only the ``Spec`` of what is on the wire (say, int8 values and float32 scales instead of float32
values); nothing here knows codecs. Frames carry no checksum: TCP has one. The transport limits their length.

Shapes: B batch, T tokens, d model width, r adapter rank.
"""

import math
import reprlib
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

import msgpack
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BFLOAT16",
    "DTYPES",
    "KINDS",
    "Kind",
    "Message",
    "Spec",
    "activations_specs",
    "adapter_specs",
    "data_specs",
    "frame_bytes",
    "gradients_specs",
    "ignored_label",
    "label_dtype",
    "labels_specs",
    "pack",
    "specs_of",
    "unpack",
]

Kind = Literal["activations", "gradients", "labels", "adapter", "data", "control"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

VERSION: Final = 1
MAX_TENSORS: Final = 4096  # GPT-2 XL with seven targets a block needs 672
MAX_DIMENSIONS: Final = 8
MAX_NAME_BYTES: Final = 255
MAX_UINT32: Final = 2**32 - 1  # the largest round, dimension and tensor (bytes) that msgpack's 32-bit headers hold

BFLOAT16: Final = np.dtype([("bfloat16", "<u2")])
"""numpy has no bfloat16, so its bits travel under this one-field dtype: ``bits.view(BFLOAT16)`` from uint16 and
``array["bfloat16"]`` back. The dtype itself says what the bits mean, also after ``unpack``."""

DTYPES: Final[Mapping[str, np.dtype[Any]]] = MappingProxyType(
    {
        name: np.dtype(name).newbyteorder("<")
        for name in ("float16", "float32", "float64", "int8", "uint8", "uint16", "int32", "int64")
    }
    | {"bfloat16": BFLOAT16}
)
"""The dtypes that may travel, in their form on the wire."""


@dataclass(slots=True, kw_only=True, unsafe_hash=True)
class Message:
    """One message: who tells whom what, in which round, and what it weighs.

    ``size_bytes`` is what the network charges for. ``payload`` is what the receiver computes with; it takes no part in
    comparisons and in ``repr``. Nobody changes a message; that it is not frozen saves half the time of making it, and
    a run makes millions. Raises ValueError for an unknown kind, a negative size or a negative round.
    """

    sender: str
    receiver: str
    kind: Kind
    round: int
    size_bytes: int
    payload: Any = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what cannot be a message."""
        if self.kind not in KINDS:
            _check_kind(self.kind)
        if self.size_bytes < 0:
            raise ValueError(f"size_bytes of a message must be >= 0, got {self.size_bytes}")
        if self.round < 0:
            raise ValueError(f"the round of a message must be >= 0, got {self.round}")

    def __repr__(self) -> str:
        """Show the letterhead, not the payload."""
        return f"<Message {self.kind} {self.sender} -> {self.receiver} round={self.round} {self.size_bytes} B>"


@dataclass(frozen=True, slots=True)
class Spec:
    """Shape and dtype of one tensor as it is on the wire.

    Raises ValueError for an unknown dtype, more than 8 dimensions, a dimension outside 0..2**32 - 1 or more than
    2**32 - 1 bytes.
    """

    shape: tuple[int, ...]
    dtype: str

    def __post_init__(self) -> None:
        """Refuse what a frame cannot carry."""
        if self.dtype not in DTYPES:
            raise ValueError(_unknown("dtype", self.dtype, DTYPES))
        if len(self.shape) > MAX_DIMENSIONS:
            raise ValueError(f"a tensor may have at most {MAX_DIMENSIONS} dimensions, got {len(self.shape)}")
        for size in self.shape:
            if not 0 <= size <= MAX_UINT32:
                raise ValueError(f"a dimension must be in 0..{MAX_UINT32}, got {size}")
        if self.size_bytes > MAX_UINT32:
            raise ValueError(
                f"a tensor may have at most {MAX_UINT32} bytes, got {self.size_bytes} ({self.shape} {self.dtype})"
            )

    @property
    def size_bytes(self) -> int:
        """Bytes of the data alone, without name and headers."""
        return math.prod(self.shape) * DTYPES[self.dtype].itemsize


def specs_of(tensors: Mapping[str, NDArray[Any]]) -> dict[str, Spec]:
    """Return the specs under which these arrays travel; ValueError for a dtype that may not travel."""
    return {name: Spec(array.shape, _dtype_name(array)) for name, array in tensors.items()}


def frame_bytes(kind: Kind, tensors: Mapping[str, Spec]) -> int:
    """Return the exact length of the frame that ``pack`` would build, by arithmetic on the specs alone.

    Raises ValueError for an unknown kind, a bad name or more than 4,096 tensors.
    """
    _check_kind(kind)
    _check_names(tensors)
    total_bytes = _array_head(4) + _int_bytes(VERSION) + _str_bytes(kind) + 5 + _array_head(len(tensors))
    for name, spec in tensors.items():
        total_bytes += _array_head(4) + _str_bytes(name) + _str_bytes(spec.dtype)
        total_bytes += _array_head(len(spec.shape)) + sum(_int_bytes(size) for size in spec.shape)
        total_bytes += _bin_head(spec.size_bytes) + spec.size_bytes
    return total_bytes


def pack(kind: Kind, round: int, tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the frame of these tensors; see the top of this file for its form.

    Raises ValueError for an unknown kind, a round outside 0..2**32 - 1, a bad name, a dtype that may not travel or too
    large a tensor.
    """
    _check_kind(kind)
    if not 0 <= round <= MAX_UINT32:
        raise ValueError(f"the round of a frame must be in 0..{MAX_UINT32}, got {round}")
    specs = specs_of(tensors)
    _check_names(specs)
    packer = msgpack.Packer()
    # 0xce announces a 32-bit integer; written by hand because the packer would shorten small rounds.
    parts = [packer.pack_array_header(4), packer.pack(VERSION), packer.pack(kind), b"\xce" + struct.pack(">I", round)]
    parts.append(packer.pack_array_header(len(tensors)))
    for name, spec in specs.items():
        flat = np.ascontiguousarray(tensors[name], dtype=DTYPES[spec.dtype]).reshape(-1)
        parts.append(packer.pack([name, spec.dtype, spec.shape, flat.view(np.uint8).data]))
    return b"".join(parts)


def unpack(frame: bytes) -> tuple[Kind, int, dict[str, NDArray[Any]]]:
    """Return kind, round and tensors (fresh, writable arrays) of a frame; the frame may come from anybody.

    Nothing in a frame is executed, a short frame cannot make it allocate more than some tens of megabytes, and only
    frames that ``pack`` could have written are accepted; everything else raises ValueError with one sentence.
    """
    fields = _decode(frame)
    if type(fields) is not list or len(fields) != 4:
        raise ValueError(f"a frame must be an array of 4 fields, got {reprlib.repr(fields)}")
    version, kind, round, tensors = fields
    if type(version) is not int or version != VERSION:
        raise ValueError(f"a frame of version {VERSION} is expected, got version {reprlib.repr(version)}")
    _check_kind(kind)
    if type(round) is not int or not 0 <= round <= MAX_UINT32:
        raise ValueError(f"the round of a frame must be in 0..{MAX_UINT32}, got {reprlib.repr(round)}")
    if type(tensors) is not list:
        raise ValueError(f"the tensors of a frame must be an array, got {reprlib.repr(tensors)}")
    arrays: dict[str, NDArray[Any]] = {}
    for entry in tensors:
        name, array = _read_tensor(entry)
        if name in arrays:
            raise ValueError(f"a frame holds the tensor {name!r} twice")
        arrays[name] = array
    # Longer spellings of the same values are legal msgpack, but they would weigh more than the network charged.
    expected_bytes = frame_bytes(kind, specs_of(arrays))
    if len(frame) != expected_bytes:
        raise ValueError(f"a frame with these fields has {expected_bytes} bytes, got {len(frame)}")
    return kind, round, arrays


def label_dtype(vocab_size: int) -> str:
    """Return the dtype that labels of this vocabulary travel in: uint16 below 65,535 tokens, else int32."""
    return "uint16" if vocab_size < np.iinfo(np.uint16).max else "int32"


def ignored_label(dtype: str) -> int:
    """Return the value that marks a position without a label: the largest of the dtype, which is no token's number."""
    return int(np.iinfo(DTYPES[dtype]).max)


def labels_specs(batch: int, tokens: int, *, vocab_size: int) -> dict[str, Spec]:
    """Return the labels of one batch: ``labels`` [B, T]; ``ignored_label`` marks positions that count for nothing."""
    return {"labels": Spec((batch, tokens), label_dtype(vocab_size))}


def activations_specs(
    batch: int, tokens: int, *, width: int, vocab_size: int, dtype: str = "float32"
) -> dict[str, Spec]:
    """Return what a device sends up in a step: ``activations`` [B, T, d] and ``labels`` [B, T]."""
    activations = {"activations": Spec((batch, tokens, width), dtype)}
    return activations | labels_specs(batch, tokens, vocab_size=vocab_size)


def gradients_specs(batch: int, tokens: int, *, width: int, dtype: str = "float32") -> dict[str, Spec]:
    """Return what the server sends down in a step: ``gradients`` [B, T, d], those of the activations."""
    return {"gradients": Spec((batch, tokens, width), dtype)}


def data_specs(samples: int, tokens: int, *, vocab_size: int) -> dict[str, Spec]:
    """Return a device's examples as they are collected: ``ids`` [n, T] and ``labels`` [n, T], as narrow as labels."""
    dtype = label_dtype(vocab_size)
    return {"ids": Spec((samples, tokens), dtype), "labels": Spec((samples, tokens), dtype)}


def adapter_specs(
    blocks: Iterable[int], projections: Mapping[str, tuple[int, int]], *, rank: int, dtype: str = "float32"
) -> dict[str, Spec]:
    """Return the adapters of these blocks: ``"{block}.{target}.A"`` [r, in] and ``"{block}.{target}.B"`` [out, r].

    ``projections`` gives (in, out) of every target, as ``workload.Lora.projections`` does.
    """
    specs: dict[str, Spec] = {}
    for block in blocks:
        for target, (num_in, num_out) in projections.items():
            specs[f"{block}.{target}.A"] = Spec((rank, num_in), dtype)
            specs[f"{block}.{target}.B"] = Spec((num_out, rank), dtype)
    return specs


def _decode(frame: bytes) -> object:
    # No maps, no extension types, and short arrays: nested array headers make msgpack allocate before it has read on.
    try:
        return msgpack.unpackb(
            frame, max_array_len=MAX_TENSORS, max_map_len=0, max_ext_len=0, max_str_len=MAX_NAME_BYTES
        )
    except (ValueError, TypeError, OverflowError, msgpack.exceptions.UnpackException) as error:
        raise ValueError(
            f"a frame of {len(frame)} bytes cannot be read: {str(error) or type(error).__name__}"
        ) from error


def _read_tensor(entry: object) -> tuple[str, NDArray[Any]]:
    if type(entry) is not list or len(entry) != 4:
        raise ValueError(f"a tensor must be an array of 4 fields, got {reprlib.repr(entry)}")
    name, dtype, shape, data = entry
    if type(name) is not str or type(dtype) is not str or type(data) is not bytes:
        raise ValueError("a tensor must be given as name, dtype, shape and data of types text, text, array and bytes")
    if type(shape) is not list or any(type(size) is not int for size in shape):
        raise ValueError(f"the shape of tensor {name!r} must be an array of integers, got {reprlib.repr(shape)}")
    spec = Spec(tuple(shape), dtype)
    if len(data) != spec.size_bytes:
        raise ValueError(f"tensor {name!r} {spec.shape} {dtype} has {spec.size_bytes} bytes, got {len(data)}")
    wire = np.frombuffer(data, dtype=DTYPES[dtype])
    return name, wire.astype(wire.dtype.newbyteorder("=")).reshape(spec.shape)


def _dtype_name(array: NDArray[Any]) -> str:
    if array.dtype == BFLOAT16:
        return "bfloat16"
    if array.dtype.name not in DTYPES or array.dtype.name == "bfloat16":
        hint = "; bfloat16 travels as uint16 bits viewed as messages.BFLOAT16"
        raise ValueError(_unknown("dtype", array.dtype.name, DTYPES) + hint)
    return array.dtype.name


def _check_kind(kind: object) -> None:
    if kind not in KINDS:
        raise ValueError(_unknown("kind of message", kind, KINDS))


def _check_names(tensors: Mapping[str, Spec]) -> None:
    if len(tensors) > MAX_TENSORS:
        raise ValueError(f"a frame may hold at most {MAX_TENSORS} tensors, got {len(tensors)}")
    for name in tensors:
        if not 1 <= len(name.encode()) <= MAX_NAME_BYTES:
            raise ValueError(f"the name of a tensor must have 1..{MAX_NAME_BYTES} bytes, got {reprlib.repr(name)}")


def _unknown(what: str, value: object, allowed: Iterable[str]) -> str:
    """Return the sentence that refuses a name: what it is, what is allowed, and the nearest guess."""
    names = sorted(allowed)
    guess = get_close_matches(value, names, n=1) if isinstance(value, str) else []
    did_you_mean = f"; did you mean {guess[0]!r}?" if guess else ""
    return f"unknown {what} {reprlib.repr(value)} (allowed: {', '.join(names)}){did_you_mean}"


# The lengths that the msgpack specification gives (github.com/msgpack/msgpack/blob/master/spec.md), shortest form.


def _array_head(length: int) -> int:
    return 1 if length < 16 else 3


def _bin_head(length: int) -> int:
    return 2 if length < 2**8 else 3 if length < 2**16 else 5


def _int_bytes(value: int) -> int:
    return 1 if value < 2**7 else 2 if value < 2**8 else 3 if value < 2**16 else 5


def _str_bytes(text: str) -> int:
    length = len(text.encode())
    return length + (1 if length < 2**5 else 2)  # names end at 255 bytes, so longer headers do not occur
