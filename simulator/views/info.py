"""What a view says about a run before its first row: the scenario in a few words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    """Equal devices: how they are called, which profile they have, how many there are, and what they reach us over."""

    name: str
    profile: str
    count: int
    access: str


@dataclass(frozen=True, slots=True)
class RunInfo:
    """The fixed facts of a run, ready to be shown.

    ``rounds`` is the planned total. ``timed_as`` is the model that time and bytes are those of, or None where it is
    ``model`` itself. ``split`` is text: "3", "2..6" for a mixed fleet, or words where nothing is cut.
    ``network`` is "tcp" or "pure".
    """

    name: str
    algorithm: str
    rounds: int
    num_devices: int
    model: str
    timed_as: str | None
    split: str
    network: str
    server: str
    seed: int
    groups: Sequence[Group]
    notes: Sequence[str] = ()  # what everybody should know, such as who was dropped for want of memory

    @property
    def noun(self) -> str:
        """What one device is called: "phone" if all of them are phones."""
        profiles = [group.profile for group in self.groups]
        return "phone" if profiles and all("phone" in profile for profile in profiles) else "device"

    @property
    def cut(self) -> str:
        """Return "split 3", or who has the whole model."""
        return f"split {self.split}" if self.split[0].isdigit() else self.split

    @property
    def fleet(self) -> str:
        """Return "100 phones", "1 device"."""
        return f"{self.num_devices:,} {self.noun}{'' if self.num_devices == 1 else 's'}"

    @property
    def two_models(self) -> bool:
        """True where the model that learns is not the one that is timed."""
        return self.timed_as is not None and self.timed_as != self.model

    @property
    def models(self) -> str:
        """Return "mini", or "mini, timed as gpt2"."""
        return f"{self.model}, timed as {self.timed_as}" if self.two_models else self.model
