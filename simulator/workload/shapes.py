"""The shape of a GPT-2: the few numbers of its config that decide every cost."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Final

__all__ = ["SHAPES", "ModelShape", "shape_from_config", "shape_of"]

MINI_CONFIG: Final = Path(__file__).parents[1] / "training" / "mini" / "config.json"


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A GPT-2 by its numbers.

    ``inner_width`` is the width inside the MLP; None means 4 x ``width``, as in every published GPT-2. The language
    model head is the token embedding used again (tied), without a bias.

    Raises ValueError for a number below 1 or a width that the heads do not divide.
    """

    name: str
    num_blocks: int
    width: int
    num_heads: int
    vocab_size: int
    num_positions: int
    inner_width: int | None = None

    def __post_init__(self) -> None:
        """Refuse impossible shapes."""
        for key in ("num_blocks", "width", "num_heads", "vocab_size", "num_positions", "mlp_width"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key} of model {self.name!r} must be >= 1, got {getattr(self, key)}")
        if self.width % self.num_heads:
            raise ValueError(
                f"width of model {self.name!r} must be a multiple of its {self.num_heads} heads, got {self.width}"
            )

    @property
    def mlp_width(self) -> int:
        """Width inside the MLP."""
        return 4 * self.width if self.inner_width is None else self.inner_width

    @property
    def block_parameters(self) -> int:
        """Parameters of one block without adapters: four projections with biases and two layer norms."""
        d, m = self.width, self.mlp_width
        attention = (d + 1) * 3 * d + (d + 1) * d
        mlp = (d + 1) * m + (m + 1) * d
        return attention + mlp + 2 * 2 * d

    @property
    def embedding_parameters(self) -> int:
        """Parameters of the token and the position embedding."""
        return (self.vocab_size + self.num_positions) * self.width

    @property
    def parameters(self) -> int:
        """Parameters of the whole model, the tied head counted once."""
        return self.embedding_parameters + self.num_blocks * self.block_parameters + 2 * self.width


def _gpt2(name: str, num_blocks: int, width: int, num_heads: int) -> ModelShape:
    return ModelShape(name, num_blocks, width, num_heads, vocab_size=50257, num_positions=1024)


SHAPES: Final[Mapping[str, ModelShape]] = MappingProxyType(
    {
        shape.name: shape
        for shape in (
            _gpt2("distilgpt2", 6, 768, 12),
            _gpt2("gpt2", 12, 768, 12),
            _gpt2("gpt2-medium", 24, 1024, 16),
            _gpt2("gpt2-large", 36, 1280, 20),
            _gpt2("gpt2-xl", 48, 1600, 25),
        )
    }
)
"""The published models, from their config.json files (Radford et al. 2019; distilgpt2: Sanh et al. 2019)."""


def shape_of(name_or_folder: str | Path) -> ModelShape:
    """Return the shape of a published model by name, of the built-in ``mini``, or of a local folder with a config.json.

    Raises ValueError if it is none of them or its config.json cannot be used.
    """
    name = str(name_or_folder)
    if name in SHAPES:
        return SHAPES[name]
    config = MINI_CONFIG if name == "mini" else Path(name_or_folder) / "config.json"
    if not config.is_file():
        known = [*SHAPES, "mini"]
        guess = get_close_matches(name, known, n=1)
        did_you_mean = f"; did you mean {guess[0]!r}?" if guess else ""
        raise ValueError(
            f"model {name!r} must be one of {', '.join(known)} or a folder with a config.json, "
            f"and {config} does not exist{did_you_mean}"
        )
    try:
        mapping = json.loads(config.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{config} is not readable JSON: {error}") from error
    if not isinstance(mapping, dict):
        raise ValueError(f"{config} must hold a JSON object, got {type(mapping).__name__}")
    return shape_from_config(mapping, name)


def shape_from_config(mapping: Mapping[str, object], name: str) -> ModelShape:
    """Return the shape that a GPT-2 config.json in the Hugging Face form describes.

    Reads n_layer, n_embd, n_head, vocab_size, n_positions and, if present and not null, n_inner.

    Raises ValueError if a key is missing or no positive integer, if it is the config of another architecture, and if it
    asks for what these costs leave out (cross attention).
    """
    model_type = mapping.get("model_type", "gpt2")
    if model_type != "gpt2":
        raise ValueError(f"config of model {name!r}: model_type must be 'gpt2', got {model_type!r}")
    if mapping.get("add_cross_attention"):
        raise ValueError(f"config of model {name!r}: add_cross_attention must be false, its costs are not modelled")
    inner_width = None if mapping.get("n_inner") is None else _count(mapping, "n_inner", name)
    return ModelShape(
        name,
        num_blocks=_count(mapping, "n_layer", name),
        width=_count(mapping, "n_embd", name),
        num_heads=_count(mapping, "n_head", name),
        vocab_size=_count(mapping, "vocab_size", name),
        num_positions=_count(mapping, "n_positions", name),
        inner_width=inner_width,
    )


def _count(mapping: Mapping[str, object], key: str, name: str) -> int:
    if key not in mapping:
        raise ValueError(f"config of model {name!r}: the key {key!r} is missing")
    value = mapping[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"config of model {name!r}: {key} must be an integer >= 1, got {value!r}")
    return value
