"""Loading a GPT-2 and its tokenizer: the embedded small one, a hub name, or a local folder."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel
from transformers.utils import logging as transformers_logging

from simulator.sequences import END_OF_TEXT
from simulator.workload import SHAPES

MINI: Final = Path(__file__).parent / "mini"
"""The embedded 12-block model; see the README in that folder."""

DTYPES: Final = {"float32": torch.float32, "float64": torch.float64}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model on its device, its tokenizer, and the id of the end-of-text token (also used as padding)."""

    gpt2: GPT2LMHeadModel
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

    Raises ValueError with what to do when a folder is unreadable, the hub is out of reach, or the two do not match.
    """
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its retries without a network fill the screen
    place = _place(plan.name)
    tokenizer = _tokenizer(_place(plan.tokenizer or plan.name))
    gpt2 = _random(place, plan.seed) if plan.init == "random" else _pretrained(place)
    vocabulary = gpt2.config.vocab_size
    if tokenizer.get_vocab_size() > vocabulary:
        raise ValueError(
            f"the tokenizer of {plan.tokenizer or plan.name} has {tokenizer.get_vocab_size()} tokens, "
            f"but model {plan.name} only {vocabulary}"
        )
    end = tokenizer.token_to_id(END_OF_TEXT)
    if end is None:
        raise ValueError(f"the tokenizer of {plan.tokenizer or plan.name} has no {END_OF_TEXT} token")
    return Loaded(gpt2.to(device=device, dtype=DTYPES[plan.dtype]), tokenizer, end)


def _place(name: str) -> Path | str:
    """A folder, or a name for the hub."""
    return MINI if name == "mini" else Path(name) if Path(name).is_dir() else name


def _tokenizer(place: Path | str) -> Tokenizer:
    if isinstance(place, Path):
        file = place / "tokenizer.json"
        if not file.is_file():
            raise ValueError(f"model folder {place} has no tokenizer.json")
        try:
            return Tokenizer.from_file(str(file))
        except Exception as error:
            raise ValueError(f"{file} cannot be read as a tokenizer: {error}") from error
    try:
        tokenizer: Tokenizer = AutoTokenizer.from_pretrained(place).backend_tokenizer
    except Exception as error:  # the hub's client raises many kinds
        raise ValueError(_out_of_reach("tokenizer", place)) from error
    return tokenizer


def _pretrained(place: Path | str) -> GPT2LMHeadModel:
    try:
        config = GPT2Config.from_pretrained(place)
        _check_family(config, place)
        model: GPT2LMHeadModel = GPT2LMHeadModel.from_pretrained(place, config=_quiet(config), dtype=torch.float32)
    except ValueError:
        raise
    except Exception as error:
        if isinstance(place, Path):
            raise ValueError(
                f"model folder {place} cannot be loaded: it needs config.json, model.safetensors and tokenizer.json "
                f"of a GPT-2 ({error})"
            ) from error
        raise ValueError(_out_of_reach("model", place)) from error
    return model


def _random(place: Path | str, seed: int) -> GPT2LMHeadModel:
    """Fresh weights for a known shape, the same for the same seed."""
    if isinstance(place, Path):
        config = GPT2Config.from_pretrained(place)
        _check_family(config, place)
    elif place in SHAPES:
        shape = SHAPES[place]
        config = GPT2Config(
            n_layer=shape.num_blocks,
            n_embd=shape.width,
            n_head=shape.num_heads,
            vocab_size=shape.vocab_size,
            n_positions=shape.num_positions,
        )
    else:
        raise ValueError(f"model.init random needs a known shape ({', '.join(SHAPES)}) or a folder, got {place!r}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPT2LMHeadModel(_quiet(config))


def _quiet(config: GPT2Config) -> GPT2Config:
    """No dropout (Hugging Face's default is 0.1) and the fused attention kernel."""
    config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.0
    config._attn_implementation = "sdpa"
    return config


def _check_family(config: GPT2Config, place: Path | str) -> None:
    if config.activation_function not in {"gelu_new", "gelu_pytorch_tanh"}:
        raise ValueError(f"model {place}: activation {config.activation_function!r} is not GPT-2's tanh GELU")


def _out_of_reach(what: str, name: str) -> str:
    return (
        f"the {what} {name!r} is neither a folder here nor in the local cache, and the hub cannot be reached; "
        f"download it on another machine and set model.name to its folder, or use model.name mini"
    )
