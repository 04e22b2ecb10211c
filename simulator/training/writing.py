"""Texts that a model writes for held-out prompts: greedily, or by beam search as SplitLoRA's code decodes E2E."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from tokenizers import Tokenizer
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList, NoRepeatNGramLogitsProcessor, PreTrainedModel

from simulator.scenario import Scenario
from simulator.training.build import model_plan
from simulator.training.models import device_of, load


@dataclass(frozen=True, slots=True)
class Decoding:
    """How texts are written: 1 beam is greedy. ``no_repeat`` 4: no sequence of 4 tokens twice in a text; 0: any."""

    beams: int = 1
    length_penalty: float = 1.0
    no_repeat: int = 0
    most_tokens: int = 64


class NoRepeat(LogitsProcessor):  # type: ignore[misc]  # transformers has no types
    """No n tokens twice in what is written. Those of the prompt may be said once, as in the published code.

    transformers' own counts the prompt too, and would forbid every name of n tokens.
    """

    def __init__(self, size: int, behind: int) -> None:
        """``behind`` is the length of the padded prompts."""
        self._inner, self._behind = NoRepeatNGramLogitsProcessor(size), behind

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Forbid the tokens that would repeat."""
        forbidden: Tensor = self._inner(input_ids[:, self._behind :], scores)
        return forbidden


class Writer:
    """A scenario's base model, with what a run has learned or without."""

    def __init__(self, scenario: Scenario, adapter: Path | None) -> None:
        """Load the model, and the PEFT checkpoint in a folder onto it.

        Raises ValueError for a model or a checkpoint that cannot be loaded.
        """
        device = device_of(scenario.training.device)
        loaded = load(model_plan(scenario), device)
        self._tokenizer: Tokenizer = loaded.tokenizer
        self._end, self._device = loaded.end, device
        self._model: PreTrainedModel | PeftModel = loaded.model
        self._room = int(loaded.model.config.max_position_embeddings)
        if adapter is not None:
            try:
                with warnings.catch_warnings():  # of transformers, about its own code
                    warnings.simplefilter("ignore", FutureWarning)
                    self._model = PeftModel.from_pretrained(loaded.model, str(adapter)).to(device)
            except Exception as error:  # peft's and safetensors' many kinds
                first = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise ValueError(f"the adapters in {adapter} cannot be loaded: {first}") from error
        self._model.eval()

    def write(
        self, prompts: Sequence[str], decoding: Decoding, done: Callable[[int], None], *, at_once: int = 16
    ) -> list[str]:
        """A text for each prompt; ``done`` is told after each batch how many are written.

        A text ends at end-of-text, after ``most_tokens``, or where the model has no further position. Raises ValueError
        for a prompt that leaves it none.
        """
        ids = [self._tokenizer.encode(prompt, add_special_tokens=False).ids for prompt in prompts]
        longest = max(map(len, ids), default=0)
        if longest >= self._room:
            raise ValueError(f"a prompt of {longest} tokens leaves no room in a model of {self._room} positions")
        texts = [""] * len(ids)
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))  # of like length together: less padding
        for start in range(0, len(order), at_once):
            chosen = order[start : start + at_once]
            for index, text in zip(chosen, self._batch([ids[index] for index in chosen], decoding), strict=True):
                texts[index] = text
            done(start + len(chosen))
        return texts

    def _batch(self, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[str]:
        length = max(map(len, prompts))
        ids = torch.full((len(prompts), length), self._end)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(prompts):  # padded on the left: what is written begins in one column
            ids[row, length - len(prompt) :] = torch.tensor(prompt)
            mask[row, length - len(prompt) :] = 1
        options: dict[str, Any] = {}
        if decoding.beams > 1:
            options = {"length_penalty": decoding.length_penalty, "early_stopping": "never"}
        if decoding.no_repeat:
            options["logits_processor"] = LogitsProcessorList([NoRepeat(decoding.no_repeat, length)])
        with torch.no_grad():
            written = self._model.generate(
                input_ids=ids.to(self._device),
                attention_mask=mask.to(self._device),
                max_new_tokens=min(decoding.most_tokens, self._room - length),
                num_beams=decoding.beams,
                do_sample=False,
                pad_token_id=self._end,
                eos_token_id=self._end,
                **options,
            )
        return [self._text(row) for row in written[:, length:].tolist()]

    def _text(self, tokens: list[int]) -> str:
        stop = tokens.index(self._end) if self._end in tokens else len(tokens)
        text: str = self._tokenizer.decode(tokens[:stop])
        return text.strip()
