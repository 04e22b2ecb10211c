"""Loading a decoder and its tokenizer: the embedded small one, a hub name, or a local folder."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, GPT2Config, PretrainedConfig, PreTrainedModel
from transformers.utils import logging as transformers_logging

from simulator.sequences import END_OF_TEXT
from simulator.training.families import family_of
from simulator.training.hub import CONFIG, TOKENIZER, WEIGHTS, folder_of
from simulator.training.tokens import place_of, tokenizer_of
from simulator.workload import SHAPES

DTYPES: Final = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16, "float64": torch.float64}

LEAST_SHARE: Final = 0.95
"""Of a pretrained model's vocabulary that its tokenizer must know: published vocabularies are padded by up to 2 %."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model on its device, its tokenizer, and the id of the end-of-text token (also used as padding)."""

    model: PreTrainedModel
    tokenizer: Tokenizer
    end: int


def device_of(name: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """Where tensors live; "auto" takes CUDA when there is one."""
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("training.device is cuda, but torch finds no CUDA device here; allowed: auto, cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """Which model: "mini", a hub name or a folder; where its tokenizer is, if elsewhere; how its weights start."""

    name: str
    tokenizer: str | None = None
    init: Literal["pretrained", "random"] = "pretrained"
    dtype: str = "float32"
    seed: int = 0


def load(plan: ModelPlan, device: torch.device) -> Loaded:
    """Load model and tokenizer onto a device.

    Raises ValueError with what to do when a folder is unreadable, the hub is out of reach, the family is not known, or
    model and tokenizer do not match.
    """
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its warnings would fill the screen
    tokenizer = tokenizer_of(plan.name, plan.tokenizer)
    model = _random(plan) if plan.init == "random" else _pretrained(plan)
    _check_vocabulary(plan, tokenizer, model.config.vocab_size)
    end = _end_of_text(plan, tokenizer, model.config)
    return Loaded(model.to(device=device, dtype=DTYPES[plan.dtype]), tokenizer, end)


def _pretrained(plan: ModelPlan) -> PreTrainedModel:
    folder = folder_of(place_of(plan.name), (CONFIG, WEIGHTS), key="model.name")
    config = _config(folder, plan.name)
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            folder, config=config, dtype=torch.float32, local_files_only=True, use_safetensors=True
        )
    except Exception as error:
        raise ValueError(f"the weights of model {plan.name} in {folder} cannot be loaded: {error}") from error
    return model


def _random(plan: ModelPlan) -> PreTrainedModel:
    """Fresh weights for a known shape or the config of a folder or hub name, the same for the same seed."""
    if plan.name in SHAPES:
        shape = SHAPES[plan.name]
        config: PretrainedConfig = GPT2Config(
            n_layer=shape.num_blocks,
            n_embd=shape.width,
            n_head=shape.num_heads,
            vocab_size=shape.vocab_size,
            n_positions=shape.num_positions,
        )
        family_of(config).quiet(config)
    else:
        config = _config(folder_of(place_of(plan.name), (CONFIG,), key="model.name"), plan.name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return model


def _config(folder: Path, name: str) -> PretrainedConfig:
    """The config of a folder, of a family that can be split, without dropout and with fused attention."""
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        family = family_of(config)
        family.check(config)
    except Exception as error:  # transformers raises many kinds for one it cannot read
        raise ValueError(f"model {name}: {folder / CONFIG}: {error}") from error
    family.quiet(config)
    return config


def _check_vocabulary(plan: ModelPlan, tokenizer: Tokenizer, vocabulary: int) -> None:
    """Too many tokens cannot be embedded; far too few mean another text than the weights were trained on."""
    known, where = tokenizer.get_vocab_size(), plan.tokenizer or plan.name
    if known > vocabulary:
        raise ValueError(
            f"the tokenizer of {where} has {known} tokens, but model {plan.name} only {vocabulary}; "
            f"set model.tokenizer to a folder with the model's own {TOKENIZER}"
        )
    if plan.init == "pretrained" and known < LEAST_SHARE * vocabulary:
        raise ValueError(
            f"the tokenizer of {where} has {known} tokens, but model {plan.name} was trained with {vocabulary}; "
            f"set model.tokenizer to a folder with the model's own {TOKENIZER}"
        )


def _end_of_text(plan: ModelPlan, tokenizer: Tokenizer, config: PretrainedConfig) -> int:
    """The token that ends a text: by its usual name, else the one that the config names."""
    named: int | None = tokenizer.token_to_id(END_OF_TEXT)
    if named is not None:
        return named
    listed = config.eos_token_id
    first = listed[0] if isinstance(listed, list) and listed else listed
    if isinstance(first, int) and 0 <= first < tokenizer.get_vocab_size():
        return first
    raise ValueError(
        f"the tokenizer of {plan.tokenizer or plan.name} has no {END_OF_TEXT} token, "
        f"and eos_token_id in the model's config is {listed!r}, which it does not know"
    )
