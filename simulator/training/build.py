"""From a scenario to an engine with its model and data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor
from transformers import PretrainedConfig

from devices.format import short_bytes
from simulator.scenario import Scenario
from simulator.scenario.model import Training
from simulator.streams import seed_of, stream
from simulator.training.checkpoints import Checkpoint, Fit
from simulator.training.crowd import data_of
from simulator.training.engine import Clients, Engine, Settings
from simulator.training.footprint import pass_cost
from simulator.training.groups import Grouping
from simulator.training.layout import Layout
from simulator.training.model import Regime, SplitModel
from simulator.training.models import ModelPlan, device_of, load
from simulator.training.optim import SGD, AdamW, Optimizer, Schedule
from simulator.training.tokens import MINI
from simulator.workload import shape_of

BUCKET_TOKENS: Final = {"cpu": 2048, "cuda": 16384}
"""Positions of a pass of sequences of like length: enough to keep the machine busy, see docs/benchmarks/training.md."""


@dataclass(frozen=True, slots=True)
class Built:
    """The engine, and each device's weight in an aggregation."""

    engine: Engine
    weights: list[float]


def build(scenario: Scenario, splits: Sequence[int], ranks: Sequence[int], phase: Callable[[str], None]) -> Built:
    """Load the model, make the data, draw the adapters. ``phase`` is told what is going on.

    Raises ValueError for a model, data or setting that cannot be used.
    """
    training = scenario.training
    if training.threads:
        torch.set_num_threads(training.threads)
    torch.use_deterministic_algorithms(True)
    phase(f"loading the model {scenario.model.name}")
    loaded = load(model_plan(scenario), _device(training))
    _check_model(scenario, loaded.model.config, splits)
    base_model = str(MINI) if scenario.model.name == "mini" else scenario.model.name
    start = _start(scenario, loaded.model.config, base_model, ranks)
    phase(f"making the data of {len(splits)} devices")
    data = data_of(scenario, loaded.tokenizer, end=loaded.end, devices=len(splits))
    regime = Regime(scenario.model.dropout, scenario.lora.dropout, training.checkpointing == "on")
    settings = Settings(
        tuple(scenario.lora.targets),
        scenario.lora.rank,
        scenario.lora.alpha,
        _optimizer(training),
        moments=training.moments,
        base_model=base_model,
        start=start,
        seed=seed_of(scenario.seed, "dropout"),
    )
    weights = [float(count) if training.weights == "data" else 1.0 for count in data.sample_counts]
    engine = Engine(
        SplitModel(loaded.model, regime),
        data,
        Clients(tuple(splits), tuple(ranks), tuple(weights)),
        settings,
        stream(scenario.seed, "adapters"),
    )
    engine.settings = replace(settings, grouping=_grouping(training, engine))
    return Built(engine, weights)


def _device(training: Training) -> torch.device:
    """Where tensors live, with products of the wanted precision there."""
    device = device_of(training.device)
    if training.dtype == "tf32" and device.type != "cuda":
        raise ValueError(f"training.dtype tf32 is a mode of CUDA devices; on the {device} use float32 or bfloat16")
    torch.set_float32_matmul_precision("high" if training.dtype == "tf32" else "highest")
    return device


def _grouping(training: Training, engine: Engine) -> Grouping:
    """Passes that stay within ``training.memory``, of sequences of like length where that is wanted."""
    cost = pass_cost(engine.model, training.tokens, engine.client_layout.size)
    least_bytes = cost.bytes(training.batch * training.tokens)
    if least_bytes > training.memory:
        raise ValueError(
            f"training.memory must be at least {short_bytes(least_bytes)} here, which a pass over one device's batch "
            f"of {training.batch} x {training.tokens} needs, got {short_bytes(training.memory)}"
        )
    most = cost.most_positions(training.memory, training.tokens)
    if training.bucket == "off":
        return Grouping(most)
    return Grouping(most, BUCKET_TOKENS[engine.model.head_VD.device.type])


def _optimizer(training: Training) -> Optimizer:
    rule: AdamW | SGD = SGD(training.learning_rate, training.momentum, training.weight_decay)
    if training.optimizer == "adamw":
        beta1, beta2 = training.betas
        rule = AdamW(training.learning_rate, beta1, beta2, training.epsilon, training.weight_decay)
    return Optimizer(rule, Schedule(training.schedule, training.warmup, training.rounds), training.clip)


def _start(
    scenario: Scenario, config: PretrainedConfig, base_model: str, ranks: Sequence[int]
) -> Callable[[Layout, Tensor], Tensor] | None:
    """What puts the checkpoint of ``lora.init`` into a row of adapters; None where a run starts with fresh ones."""
    folder, lora = scenario.resolve(scenario.lora.init), scenario.lora
    if folder is None:
        return None
    checkpoint = Checkpoint.read(folder)
    fit = Fit(base_model, config, room=min(lora.rank, *ranks), scale=lora.alpha / lora.rank)
    return lambda layout, fresh_P: checkpoint.fill(layout, fresh_P, fit)


def _check_model(scenario: Scenario, config: PretrainedConfig, splits: Sequence[int]) -> None:
    """Hold a loaded model against the scenario: only now is the shape of a hub's model known."""
    name, blocks, timed = scenario.model.name, config.num_hidden_layers, shape_of(scenario.timed_model)
    if blocks != timed.num_blocks:
        raise ValueError(
            f"model {name} has {blocks} blocks, but {timed.name}, as which it is timed, has {timed.num_blocks}: "
            f"split points would not mean the same"
        )
    if max(splits) > blocks:
        raise ValueError(f"model.split must be in 0..{blocks} for {name} ({blocks} blocks), got {max(splits)}")
    positions = config.max_position_embeddings
    if scenario.training.tokens > positions:
        raise ValueError(f"training.tokens must be in 2..{positions} for {name}, got {scenario.training.tokens}")


def model_plan(scenario: Scenario) -> ModelPlan:
    """Which model a scenario trains."""
    model = scenario.model
    seed = seed_of(scenario.seed, "model") % 2**63
    return ModelPlan(model.name, model.tokenizer, model.init, scenario.training.dtype, seed)
