"""Equal keys mean equal losses, to the last bit: histories of verbs, drawn at random, played on the real engine."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from simulator.numerics import Loss, Ticket
from simulator.numerics.tape import Recording

DEVICES = 3


class Play:
    """A random but sound history: gradients come back to whom they belong, only members take part.

    ``seed`` draws what happens, ``order`` who comes first where that should not matter.
    """

    def __init__(self, numerics: Recording, seed: int, order: int) -> None:
        self.numerics = numerics
        self.rng, self.orders = np.random.default_rng(seed), np.random.default_rng(order)
        self.members: set[int] = set()
        self.rounds: Counter[int] = Counter()
        self.awaited: dict[int, Ticket] = {}

    def run(self, length: int) -> None:
        self.numerics.evaluate()
        for device in self.some(range(DEVICES)):
            self.join(device)
        verbs = [self.step, self.back, self.back, self.leave, self.come, self.average, self.adopt, self.local]
        odds = np.array([4, 3, 3, 0.5, 2, 2, 0.2, 1])
        for _ in range(length):
            verbs[self.rng.choice(len(verbs), p=odds / odds.sum())]()
            if self.rng.random() < 0.4:
                self.numerics.evaluate()
        self.numerics.evaluate()

    def some(self, choices) -> list[int]:
        """At least one of them where there are any, in any order."""
        choices = sorted(choices)
        count = self.rng.integers(1, len(choices) + 1) if choices else 0
        chosen = [int(each) for each in self.rng.permutation(choices)[:count]]
        return [chosen[place] for place in self.orders.permutation(count)]

    def idle(self) -> set[int]:
        return self.members - self.awaited.keys()

    def ticket(self, device: int) -> Ticket:
        self.rounds[device] += 1
        return self.numerics.forward(device, self.rounds[device])

    def join(self, device: int) -> None:
        self.members.add(device)
        self.numerics.join(device)

    def come(self) -> None:
        for device in self.some(set(range(DEVICES)) - self.members):
            self.join(device)

    def leave(self) -> None:
        for device in self.some(self.members):
            self.members.discard(device)
            self.awaited.pop(device, None)
            self.numerics.leave(device)

    def step(self) -> None:
        if tickets := [self.ticket(device) for device in self.some(self.idle())]:
            self.numerics.server_step(tickets)
            self.awaited.update((ticket.device, ticket) for ticket in tickets)

    def local(self) -> None:
        if tickets := [self.ticket(device) for device in sorted(self.some(self.idle()))]:
            self.numerics.local_steps(tickets)

    def back(self) -> None:
        for device in self.some(self.awaited):
            self.numerics.backward(self.awaited.pop(device))

    def average(self) -> None:
        if members := self.some(self.idle()):
            self.numerics.aggregate(members, [1.0 + device for device in members])

    def adopt(self) -> None:
        for device in self.some(self.idle()):
            self.numerics.adopt(device)


@pytest.mark.parametrize(
    ("splits", "moments"),
    [((2, 5, 5), "keep"), ((2, 5, 5), "reset"), ((2, 5, 5), "average"), ((12, 12, 12), "keep")],
)
def test_histories_that_differ_in_orders_without_effect_have_equal_keys_and_train_the_same(world, splits, moments):
    """Devices, tickets and gradients come in other orders; all losses are equal to the last bit, key by key."""
    known: dict[bytes, Loss] = {}
    met = 0
    for seed in range(4):
        for order in range(2):
            scene = world(splits, [4, 2, 4], dtype=torch.float32, moments=moments)
            scene.engine.bank.release(range(DEVICES))  # nobody has trained
            play = Play(Recording(scene.engine, "this", [1.0] * DEVICES), seed, order)
            if splits[0] < 12:
                play.local = lambda: None
            play.run(20)
            losses = play.numerics.tape.losses
            assert not order or losses.keys() <= known.keys()
            for key, loss in losses.items():
                met += key in known
                assert known.setdefault(key, loss) == loss, play.numerics.tape.events
    assert met > 25
    assert len(set(known.values())) > 25
