"""Optimizers over the rows of a bank: every row is a client with moments and a count of updates of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final, Protocol

import numpy as np
import torch
from torch import Tensor


class Rule(Protocol):
    """How parameters and moments change with a gradient."""

    @property
    def learning_rate(self) -> float:
        """The rate at a schedule's factor 1."""
        ...

    @property
    def scalings(self) -> tuple[int, ...]:
        """One entry for each moment: it scales as the gradient to that power (1 a mean, 2 a mean of squares)."""
        ...

    def update_(
        self, params_NP: Tensor, grads_NP: Tensor, moments: Sequence[Tensor], rates_N: np.ndarray, updates_N: np.ndarray
    ) -> None:
        """Update N rows and their moments in place.

        ``rates_N`` are this update's learning rates, ``updates_N`` counts each row's updates, this one included.
        ``grads_NP`` may be changed.
        """
        ...


@dataclass(frozen=True, slots=True)
class AdamW:
    """AdamW (Loshchilov & Hutter, arXiv 1711.05101), bias correction on."""

    learning_rate: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-6
    weight_decay: float = 0.01

    scalings: ClassVar[tuple[int, ...]] = (1, 2)

    def update_(
        self, params_NP: Tensor, grads_NP: Tensor, moments: Sequence[Tensor], rates_N: np.ndarray, updates_N: np.ndarray
    ) -> None:
        """See `Rule.update_`."""
        first_NP, second_NP = moments
        first_NP.lerp_(grads_NP, 1 - self.beta1)
        second_NP.mul_(self.beta2).addcmul_(grads_NP, grads_NP, value=1 - self.beta2)
        root_N1 = _column(1 / np.sqrt(1 - self.beta2**updates_N), params_NP)
        step_N1 = _column(-rates_N / (1 - self.beta1**updates_N), params_NP)
        denominator_NP = (second_NP.sqrt() * root_N1).add_(self.epsilon)
        params_NP.mul_(_column(1 - rates_N * self.weight_decay, params_NP))
        params_NP.addcdiv_(first_NP * step_N1, denominator_NP)


@dataclass(frozen=True, slots=True)
class SGD:
    """Stochastic gradient descent with momentum and decay as torch has them: b <- m b + g + w p;  p <- p - lr b."""

    learning_rate: float
    momentum: float = 0.0
    weight_decay: float = 0.0

    @property
    def scalings(self) -> tuple[int, ...]:
        """A momentum buffer, where there is momentum."""
        return (1,) if self.momentum else ()

    def update_(
        self, params_NP: Tensor, grads_NP: Tensor, moments: Sequence[Tensor], rates_N: np.ndarray, updates_N: np.ndarray
    ) -> None:
        """See `Rule.update_`."""
        if self.weight_decay:
            grads_NP.add_(params_NP, alpha=self.weight_decay)
        for buffer_NP in moments:
            grads_NP = buffer_NP.mul_(self.momentum).add_(grads_NP)
        params_NP.addcmul_(grads_NP, _column(-rates_N, params_NP))


def _column(values_N: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(np.asarray(values_N, dtype=np.float64)[:, None]).to(like)


@dataclass(frozen=True, slots=True)
class Schedule:
    """The learning rate over the rounds of a run, as a factor.

    ``constant``; ``linear`` from 0 over ``warmup_rounds`` up to 1 and down to 0 at ``rounds``, as the published code
    has it for the server; ``cosine``, half a cosine down instead of the line. A round is one step of every party.
    """

    kind: str = "constant"
    warmup_rounds: int = 0
    rounds: int = 1

    def factor(self, round: int) -> float:
        """The factor of a round, counted from 1; with a warm-up that of the first round is 0."""
        done = max(0, round - 1)
        if done < self.warmup_rounds:
            return done / self.warmup_rounds
        left = max(0.0, (self.rounds - done) / max(1, self.rounds - self.warmup_rounds))
        return {"constant": 1.0, "linear": left, "cosine": (1 - math.cos(math.pi * left)) / 2}[self.kind]


SCHEDULES: Final = ("constant", "linear", "cosine")


@dataclass(frozen=True, slots=True)
class Optimizer:
    """A rule, the learning rate over time, and the largest norm of a client's gradient (0: no clipping)."""

    rule: Rule
    schedule: Schedule = field(default_factory=Schedule)
    clip_norm: float = 0.0

    def step_(
        self,
        params_NP: Tensor,
        grads_NP: Tensor,
        moments: Sequence[Tensor],
        rounds: Sequence[int],
        updates_N: np.ndarray,
    ) -> None:
        """Update N rows in place, each at the rate of its round; every row is clipped by its own norm."""
        if self.clip_norm:
            norms_N1 = grads_NP.norm(dim=1, keepdim=True)
            grads_NP = grads_NP * (self.clip_norm / (norms_N1 + 1e-6)).clamp_(max=1.0)
        rates_N = np.array([self.rule.learning_rate * self.schedule.factor(round) for round in rounds])
        self.rule.update_(params_NP, grads_NP, moments, rates_N, updates_N)
