"""AdamW over the rows of a bank: every row is a client with a step counter of its own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class AdamW:
    """Hyper-parameters of AdamW (Loshchilov & Hutter, arXiv 1711.05101), bias correction on."""

    learning_rate: float
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-6
    weight_decay: float = 0.01


@dataclass(frozen=True, slots=True)
class Moments:
    """First and second moments [N, P] and the number of updates [N] of N rows."""

    first_NP: Tensor
    second_NP: Tensor
    steps_N: Tensor

    @classmethod
    def zeros_like(cls, params_NP: Tensor) -> Moments:
        """Moments of rows that were never updated."""
        steps_N = torch.zeros(params_NP.shape[0], dtype=torch.float64, device=params_NP.device)
        return cls(torch.zeros_like(params_NP), torch.zeros_like(params_NP), steps_N)

    def take(self, rows: Tensor) -> Moments:
        """A copy of some rows."""
        return Moments(self.first_NP[rows], self.second_NP[rows], self.steps_N[rows])

    def put(self, rows: Tensor, other: Moments) -> None:
        """Write rows back."""
        self.first_NP[rows] = other.first_NP
        self.second_NP[rows] = other.second_NP
        self.steps_N[rows] = other.steps_N


def adamw_(params_NP: Tensor, grads_NP: Tensor, moments: Moments, rule: AdamW) -> None:
    """Update parameters and moments of N rows in place, each row by its own count of steps."""
    moments.steps_N.add_(1)
    moments.first_NP.lerp_(grads_NP, 1 - rule.beta1)
    moments.second_NP.mul_(rule.beta2).addcmul_(grads_NP, grads_NP, value=1 - rule.beta2)
    correction1_N1 = (1 - rule.beta1**moments.steps_N).to(params_NP.dtype)[:, None]
    correction2_N1 = (1 - rule.beta2**moments.steps_N).sqrt().to(params_NP.dtype)[:, None]
    denominator_NP = moments.second_NP.sqrt().div_(correction2_N1).add_(rule.epsilon)
    params_NP.mul_(1 - rule.learning_rate * rule.weight_decay)
    params_NP.addcdiv_(moments.first_NP / correction1_N1, denominator_NP, value=-rule.learning_rate)
