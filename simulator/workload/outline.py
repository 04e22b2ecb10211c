"""The few numbers of a model that bound a scenario, for every family that can be trained; costs need a `ModelShape`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Final

from simulator.workload.lora import TARGETS
from simulator.workload.shapes import SHAPES, shape_of

_LLAMA: Final = ("num_hidden_layers", "hidden_size", "max_position_embeddings")

FAMILIES: Final[Mapping[str, tuple[str, str, str]]] = MappingProxyType(
    {"gpt2": ("n_layer", "n_embd", "n_positions"), "llama": _LLAMA, "qwen2": _LLAMA}
)
"""config.model_type -> its names for the number of blocks, the width and the number of positions."""

COUNTERPARTS: Final[Mapping[str, str | None]] = MappingProxyType(
    {
        "q_proj": "q",
        "k_proj": "k",
        "v_proj": "v",
        "o_proj": "attn.c_proj",
        "gate_proj": None,
        "up_proj": "mlp.c_fc",
        "down_proj": "mlp.c_proj",
    }
)
"""LoRA targets of Llama and Qwen2 -> what does the same in GPT-2, as which they are timed; GPT-2's MLP has no gate."""

TARGETS_OF: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"gpt2": tuple(TARGETS), "llama": tuple(COUNTERPARTS), "qwen2": tuple(COUNTERPARTS)}
)
"""config.model_type -> its LoRA targets, in the order in which a forward pass meets them."""

ALL_TARGETS: Final = (*TARGETS, *COUNTERPARTS)


@dataclass(frozen=True, slots=True)
class Outline:
    """A decoder's family, its number of blocks, its width and how many positions it knows."""

    family: str
    num_blocks: int
    width: int
    num_positions: int


def outline_of(name_or_folder: str | Path) -> Outline:
    """The outline of a published GPT-2 by name, of ``mini``, or of a local folder with the config.json of a family.

    Raises ValueError if it is none of them, its config.json cannot be used, or its family is not known.
    """
    config = Path(name_or_folder) / "config.json"
    if str(name_or_folder) in (*SHAPES, "mini") or not config.is_file() or _family(config) in (None, "gpt2"):
        shape = shape_of(name_or_folder)
        return Outline("gpt2", shape.num_blocks, shape.width, shape.num_positions)
    mapping = json.loads(config.read_text(encoding="utf-8"))
    family = mapping["model_type"]
    if family not in FAMILIES:
        guess = get_close_matches(str(family), FAMILIES, n=1)
        did_you_mean = f"; did you mean {guess[0]!r}?" if guess else ""
        raise ValueError(
            f"config of model {str(name_or_folder)!r}: model_type must be one of {', '.join(FAMILIES)}, "
            f"got {family!r}{did_you_mean}"
        )
    numbers = []
    for key in FAMILIES[family]:
        value = mapping.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"config of model {str(name_or_folder)!r}: {key} must be an integer >= 1, got {value!r}")
        numbers.append(value)
    return Outline(family, *numbers)


def timed_targets(targets: tuple[str, ...]) -> tuple[str, ...]:
    """The targets of the priced model (a GPT-2) as which some targets are timed.

    Raises ValueError for one that has no counterpart there: an unknown cost is an error.
    """
    timed = [COUNTERPARTS.get(target, target) for target in targets]
    for target, other in zip(targets, timed, strict=True):
        if other is None:
            raise ValueError(f"{target} has no counterpart in GPT-2, as which the model is timed: its cost is unknown")
    return tuple(other for other in timed if other is not None)


def _family(config: Path) -> object:
    """model_type of a config.json; None for one that `shape_of` will refuse."""
    try:
        mapping = json.loads(config.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return mapping.get("model_type", "gpt2") if isinstance(mapping, dict) else None
