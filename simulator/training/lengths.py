"""How long the sequences of a batch are, with and without training; loads no torch."""

from __future__ import annotations

from simulator.numerics import Lengths
from simulator.scenario import Scenario
from simulator.sequences import END_OF_TEXT


def lengths_of(scenario: Scenario, devices: int) -> Lengths:
    """Positions per sequence of each device's batches: ``training.tokens``, or with padding ``longest`` what they are.

    The latter are those of the data, so these are made as for training, with the trained model's tokenizer. Raises
    ValueError where either cannot be had.
    """
    if scenario.data.padding != "longest":
        return lambda device, round: scenario.training.tokens
    from simulator.training.crowd import data_of  # noqa: PLC0415 -- only here is a tokenizer needed
    from simulator.training.tokens import tokenizer_of  # noqa: PLC0415

    tokenizer = tokenizer_of(scenario.model.name, scenario.model.tokenizer)
    end = tokenizer.token_to_id(END_OF_TEXT) or 0  # whichever token ends a text: it is one
    return data_of(scenario, tokenizer, end=end, devices=devices).tokens
