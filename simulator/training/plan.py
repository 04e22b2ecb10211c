"""What a scenario says about its data, in one value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from simulator.scenario import Scenario

Source = Literal["generated", "e2e", "text", "jsonl", "datasets"]
Partition = Literal["iid", "dirichlet", "length", "quantity", "files"]


@dataclass(frozen=True, slots=True)
class Fields:
    """Which fields of an object are the prompt, if any, and the text that is learnt."""

    prompt: str | None = None
    text: str = "text"


@dataclass(frozen=True, slots=True)
class DataPlan:
    """Which examples, how many, and how they are dealt out; see the scenario's ``data`` and ``training``."""

    source: Source
    path: Path | None
    validation_path: Path | None
    samples_per_device: int
    validation_samples: int
    partition: Partition
    alpha: float
    slot: str
    size_spread: float
    labels: Literal["all", "reference"]
    sequences: int  # per device and round
    tokens: int
    padding: Literal["fixed", "longest", "pack"] = "fixed"
    fields: Fields = Fields()
    dataset: str | None = None
    config: str | None = None


def plan_of(scenario: Scenario) -> DataPlan:
    """The scenario's own plan, paths absolute."""
    data = scenario.data
    return DataPlan(
        source=data.source,
        path=scenario.resolve(data.path),
        validation_path=scenario.resolve(data.validation_path),
        samples_per_device=data.samples_per_device,
        validation_samples=data.validation_samples,
        partition=data.partition,
        alpha=data.alpha,
        slot=data.slot,
        size_spread=data.size_spread,
        labels=data.labels,
        sequences=scenario.training.batch,
        tokens=scenario.training.tokens,
        padding=data.padding,
        fields=Fields(data.prompt_field, data.text_field or "text"),
        dataset=data.dataset,
        config=data.config,
    )
