from pathlib import Path

import pytest

from simulator.scenario import Scenario, ScenarioError, load
from simulator.scenario.words import unknown

PROFILES = ("phone-low", "phone-high", "laptop", "a100")

# Line numbers matter: the tests of refusals name them.
PLAIN = """\
name: plain
seed: 7
model:
  name: gpt2
  split: 3
training:
  rounds: 10
devices:
  - name: cheap
    profile: phone-low
    count: 3
    access: lte
    cell: mast
  - name: dear
    profile: phone-high
    count: 1
    access: wifi
network:
  access:
    lte: {up: 20 Mbit/s, down: 50 Mbit/s, latency: 25 ms, loss: 1 %}
    wifi: {up: 40 Mbit/s, down: 100 Mbit/s, latency: 5 ms}
  cells:
    mast: {capacity: 100 Mbit/s}
"""


def find_profile(name: str) -> None:
    """Stands for the device catalogue, so that these tests need no entry of it."""
    if name not in PROFILES:
        raise ValueError(unknown("device profile", name, PROFILES))


class Door:
    """Writes a text to ``s.yaml`` in a fresh folder, which is the working directory, and loads it from there."""

    def load(self, text: str, *overrides: str) -> Scenario:
        Path("s.yaml").write_text(text, "utf-8")
        return load(Path("s.yaml"), overrides, find_profile=find_profile)

    def refused(self, text: str, *overrides: str) -> list[str]:
        """The lines of the refusal."""
        with pytest.raises(ScenarioError) as caught:
            self.load(text, *overrides)
        return str(caught.value).splitlines()

    def changed(self, *changes: tuple[str, str]) -> str:
        """The plain scenario with parts of it replaced; each must be there exactly once."""
        text = PLAIN
        for old, new in changes:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        return text


@pytest.fixture
def door(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Door()


@pytest.fixture
def plain():
    return PLAIN
