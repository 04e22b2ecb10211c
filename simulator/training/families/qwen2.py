"""Qwen2 (Yang et al. 2024, arXiv 2407.10671): built like Llama, with biases on queries, keys and values."""

from __future__ import annotations

from transformers import PretrainedConfig

from simulator.training.families.llama import Llama


class Qwen2(Llama):
    """Implements `Family`."""

    def check(self, config: PretrainedConfig) -> None:
        """Refuse blocks that see a window only: passes here have no attention mask but the causal one."""
        others = sorted(set(config.layer_types) - {"full_attention"})
        if others:
            raise ValueError(f"use_sliding_window must be false: blocks of {', '.join(others)} are not modelled")
