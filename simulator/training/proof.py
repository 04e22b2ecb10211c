"""The proof that split training equals whole training, on a scenario's own model, data, splits and ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from simulator.scenario import Scenario
from simulator.streams import seed_of, stream
from simulator.training.build import build, model_plan
from simulator.training.engine import Clients, Engine
from simulator.training.footprint import footprint
from simulator.training.groups import Grouping
from simulator.training.models import device_of, load
from simulator.training.whole import Truth, Whole

ALLOWED: Final = {"float64": 1e-12, "float32": 1e-5}
"""Relative differences that rounding alone explains."""

MOST_DEVICES: Final = 6


@dataclass(frozen=True, slots=True)
class Finding:
    """One comparison: the largest relative differences of loss and gradients, and what is allowed."""

    what: str
    dtype: str
    loss: float
    gradients: float
    allowed: float

    @property
    def holds(self) -> bool:
        """True where both differences are within rounding (and are numbers)."""
        return self.loss <= self.allowed and self.gradients <= self.allowed


def prove(
    scenario: Scenario, splits: Sequence[int], ranks: Sequence[int], phase: Callable[[str], None]
) -> Iterator[Finding]:
    """Compare one step of some of the fleet's devices, one of each split and rank, in two ways and two precisions.

    split = whole: the engine's batched pass against the unsplit Hugging Face model with PEFT, client by client.
    batched = one by one: the engine with all clients in one pass against a pass for each.
    every split = whole: the same for a single device at each split point of the model, in double precision.
    """
    chosen = _different(splits, ranks)
    splits, ranks = [splits[index] for index in chosen], [ranks[index] for index in chosen]
    for dtype, allowed in ALLOWED.items():
        small = _small(scenario, dtype)
        phase(f"comparing with the whole model in {dtype}")
        engine = build(small, splits, ranks, phase).engine
        _disturb(engine, scenario.seed)
        plan = model_plan(small)
        whole = Whole(load(plan, device_of(small.training.device)).model, engine)
        devices = range(len(chosen))
        rows_NP, server_P = engine.bank.params(engine.rows_of(devices)), engine.server.params(engine.server_rows)[0]
        truth = whole.step(devices, [engine.data.batch(device, 1) for device in devices], rows_NP, server_P)
        together = _step(engine)
        yield Finding("split = whole", dtype, *_differences(together, truth), allowed)
        engine.settings = replace(engine.settings, grouping=Grouping(1))
        yield Finding("batched = one by one", dtype, *_differences(_step(engine), together), allowed)
        if dtype == "float64":
            phase("comparing every split point with the whole model")
            yield Finding("every split = whole", dtype, *_every_split(engine, whole, scenario.seed), allowed)


def memory(scenario: Scenario, splits: Sequence[int], ranks: Sequence[int]) -> dict[str, int]:
    """Predicted bytes, by part, that training this scenario holds on this machine; see `footprint`."""
    chosen = _different(splits, ranks)
    small = _small(scenario, scenario.training.dtype)
    small = small.model_copy(update={"model": scenario.model, "lora": scenario.lora})
    engine = build(small, [splits[i] for i in chosen], [ranks[i] for i in chosen], lambda _: None).engine
    cohort = min(len(splits), scenario.training.participants or len(splits))
    return footprint(engine, cohort=cohort, sequences=scenario.training.batch, tokens=scenario.training.tokens)


def _every_split(engine: Engine, whole: Whole, seed: int) -> tuple[float, float]:
    """The largest differences of loss and gradients over the split points 0 .. L, for the first device alone."""
    worst = (0.0, 0.0)
    for split in range(engine.model.num_blocks + 1):
        clients = Clients((split,), (max(engine.clients.ranks),), (1.0,))
        cut = Engine(engine.model, engine.data, clients, engine.settings, stream(seed, "proof", split))
        _disturb(cut, seed)
        whole.follow(cut)
        rows_NP, server_P = cut.bank.params(cut.rows_of([0])), cut.server.params(cut.server_rows)[0]
        found = _differences(_step(cut), whole.step([0], [cut.data.batch(0, 1)], rows_NP, server_P))
        worst = (max(worst[0], found[0]), max(worst[1], found[1]))
    return worst


def _different(splits: Sequence[int], ranks: Sequence[int]) -> list[int]:
    """One device of each split and rank, at least two devices, not more than a few."""
    first: dict[tuple[int, int], int] = {}
    for index, key in enumerate(zip(splits, ranks, strict=True)):
        first.setdefault(key, index)
    others = [index for index in range(len(splits)) if index not in first.values()]
    return (list(first.values()) + others[:1])[:MOST_DEVICES]


def _small(scenario: Scenario, dtype: str) -> Scenario:
    """The same scenario with one sequence a device, in that precision, without dropout."""
    training = scenario.training.model_copy(update={"dtype": dtype, "batch": 1})
    samples = max(1, min(scenario.data.samples_per_device, 4))
    data = scenario.data.model_copy(
        update={"samples_per_device": samples, "validation_samples": 1, "partition": "iid", "size_spread": 0.0}
    )
    model, lora = (each.model_copy(update={"dropout": 0.0}) for each in (scenario.model, scenario.lora))
    return scenario.model_copy(update={"training": training, "data": data, "model": model, "lora": lora})


def _disturb(engine: Engine, seed: int) -> None:
    """Give every B some noise: fresh adapters have B = 0, and half of their gradients with it."""
    rng = torch.Generator().manual_seed(seed_of(seed, "proof") % 2**63)
    rows = engine.rows_of(range(len(engine.clients.splits)))
    masks = torch.stack([engine.bank.mask(rank) for rank in engine.clients.ranks])
    params_NP = engine.bank.params(rows)
    noise = torch.randn(params_NP.shape, generator=rng, dtype=torch.float64).to(params_NP) * 0.02
    engine.bank.overwrite(rows, (params_NP + noise) * masks)
    server = engine.server.params(engine.server_rows)
    noise = torch.randn(server.shape, generator=rng, dtype=torch.float64).to(server) * 0.02
    engine.server.overwrite(engine.server_rows, (server + noise) * engine.server.mask(engine.settings.rank))


def _step(engine: Engine) -> Truth:
    """Loss and gradients of the first batch, without any update."""
    tickets = [engine.forward(device, 1) for device in range(len(engine.clients.splits))]
    loss, clients, server_P = engine.gradients(tickets)
    return Truth(loss.mean, [clients[device] for device in range(len(tickets))], server_P)


def _differences(ours: Truth, truth: Truth) -> tuple[float, float]:
    pairs = [*zip(ours.clients, truth.clients, strict=True), (ours.server, truth.server)]
    return abs(ours.loss / truth.loss - 1), max(_relative(a, b) for a, b in pairs)


def _relative(ours: Tensor, truth: Tensor) -> float:
    size = float(truth.norm())
    return float((ours - truth).norm()) / size if size else float(ours.norm())
