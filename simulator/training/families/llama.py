"""Llama (Touvron et al. 2023, arXiv 2302.13971) and what is built like it: rotary positions, gated MLP, Linear weights.

Grouped queries are in it: keys and values may be narrower than queries.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from simulator.training.layout import Piece


class Llama:
    """Implements `Family`. Rotary cosines and sines are computed in float32, also in a float64 model."""

    blocks = "model.layers"
    fan_in_fan_out = False
    attention = "self_attn"
    dropouts = ()

    def check(self, config: PretrainedConfig) -> None:
        """Every variant of the config is computed by Hugging Face's own block."""

    def quiet(self, config: PretrainedConfig) -> None:
        """Dropout is in the attention alone."""
        config.attention_dropout = 0.0
        config._attn_implementation = "sdpa"

    def pieces(self, config: PretrainedConfig) -> dict[str, Piece]:
        """PEFT's usual names; each is a projection of its own."""
        d, m = config.hidden_size, config.intermediate_size
        head = getattr(config, "head_dim", None) or d // config.num_attention_heads
        queries, values = head * config.num_attention_heads, head * config.num_key_value_heads
        sizes = {
            "self_attn.q_proj": (d, queries),
            "self_attn.k_proj": (d, values),
            "self_attn.v_proj": (d, values),
            "self_attn.o_proj": (queries, d),
            "mlp.gate_proj": (d, m),
            "mlp.up_proj": (d, m),
            "mlp.down_proj": (m, d),
        }
        return {
            (name := module.rpartition(".")[2]): Piece(name, module, inputs, 0, out, out)
            for module, (inputs, out) in sizes.items()
        }

    def frozen(self, projection: nn.Module) -> tuple[Tensor, Tensor | None]:
        """nn.Linear keeps its weight as [out, in]."""
        assert isinstance(projection, nn.Linear)
        return projection.weight.t(), projection.bias

    def tune(self, model: PreTrainedModel) -> None:
        """Torch's own root-mean-square norm is one operator, Hugging Face's six."""
        self.unround(model)

    def unround(self, model: PreTrainedModel) -> None:
        """Hugging Face's norm goes through float32, where a difference in the last bit may tip a rounding."""
        for path, module in list(model.named_modules()):
            if path.endswith("norm") and hasattr(module, "variance_epsilon"):
                norm = nn.RMSNorm(module.weight.shape[0], eps=module.variance_epsilon, device="meta")
                norm.weight = module.weight
                parent, _, name = path.rpartition(".")
                setattr(model.get_submodule(parent), name, norm)

    def embed(self, model: PreTrainedModel, ids_RT: Tensor) -> tuple[Tensor, dict[str, Any]]:
        """Token embeddings; every block turns queries and keys by the same cosines and sines."""
        h_RTD = model.model.embed_tokens(ids_RT)
        where_1T = torch.arange(ids_RT.shape[1], device=ids_RT.device)[None]
        return h_RTD, {"position_embeddings": model.model.rotary_emb(h_RTD, position_ids=where_1T)}

    def norm(self, model: PreTrainedModel) -> nn.Module:
        """The last root-mean-square norm."""
        norm: nn.Module = model.model.norm
        return norm

    def head(self, model: PreTrainedModel) -> Tensor:
        """Tied to the token embedding or not, as the config says."""
        weight: Tensor = model.lm_head.weight
        return weight
