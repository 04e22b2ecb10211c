"""A scenario: what is trained, on which devices, over which links. Frozen values in SI units.

Every field has a default that the resolved scenario beside the results shows, but for the devices and their links.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from simulator.scenario import fields as f

ALGORITHMS: Final = ("splitlora",)
TIMED_AS: Final = ("mini", "distilgpt2", "gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")


class Section(BaseModel):
    """Unknown keys are refused; nothing can be changed afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelSection(Section):
    """The model that is trained, and where it is cut."""

    name: f.Text = Field(default="mini", description="mini, gpt2, another hub name, or a local folder")
    timed_as: Annotated[str | None, *f.optional(f.choice("model", *TIMED_AS))] = Field(
        default=None, description="Time and weigh everything as if it were this model"
    )
    split: f.Natural = Field(default=3, description="Blocks on the device, 0..L")
    init: Annotated[Literal["pretrained", "random"], f.choice("start", "pretrained", "random")] = Field(
        default="pretrained", description="Start from the published weights, or from random ones"
    )
    tokenizer: f.OptionalText = Field(default=None, description="Folder with a tokenizer.json; null: the model's own")


class LoraSection(Section):
    """The adapters."""

    targets: tuple[Annotated[str, f.choice("target", "c_attn", "q", "v")], ...] = Field(
        default=("c_attn",), description="[c_attn] as PEFT has it, or [q, v] as the SplitLoRA code"
    )
    rank: f.Count = Field(default=8, description="Rank r")
    alpha: f.Positive = Field(default=16.0, description="Scale of the adapters is alpha / r")


class DataSection(Section):
    """What the devices train on."""

    source: Annotated[Literal["generated", "e2e"], f.choice("source", "generated", "e2e")] = Field(
        default="generated", description="Generated restaurant messages, or the E2E NLG files"
    )
    path: f.OptionalText = Field(default=None, description="E2E: a folder with train and valid files, or one file")
    validation_path: f.OptionalText = Field(default=None, description="E2E: held-out file, if not in the folder")
    samples_per_device: f.Count = Field(default=64, description="Training examples of an average device")
    validation_samples: f.Count = Field(default=256, description="Held-out examples")
    partition: Annotated[Literal["iid", "dirichlet"], f.choice("partition", "iid", "dirichlet")] = Field(
        default="dirichlet", description="Who gets what: everybody the same mixture, or each its own"
    )
    alpha: f.Positive = Field(default=0.5, description="Dirichlet concentration: small means very different devices")
    slot: f.Text = Field(default="food", description="The slot whose mixture differs between devices")
    size_spread: f.NonNegative = Field(default=0.0, description="Lognormal sigma of the number of examples per device")
    labels: Annotated[Literal["all", "reference"], f.choice("label positions", "all", "reference")] = Field(
        default="reference", description="Positions that count in the loss: every token, or the reference text only"
    )


class TrainingSection(Section):
    """How it is trained."""

    rounds: f.Count = Field(default=50, description="Rounds of SplitLoRA; one step of every device each")
    batch: f.Count = Field(default=4, description="Sequences per device and round")
    tokens: Annotated[int, *f.whole(least=2)] = Field(
        default=64, description="Positions per sequence, padding included"
    )
    learning_rate: f.Positive = Field(default=2e-3, description="AdamW, constant")
    weight_decay: f.NonNegative = Field(default=0.01, description="AdamW")
    betas: tuple[f.Decay, f.Decay] = Field(default=(0.9, 0.999), description="AdamW")
    epsilon: f.Positive = Field(default=1e-6, description="AdamW")
    aggregate_every: f.Count = Field(default=5, description="Rounds I between two averages of the device adapters")
    weights: Annotated[Literal["data", "equal"], f.choice("weights", "data", "equal")] = Field(
        default="data", description="Weight of a device in the average: its number of examples, or 1"
    )
    evaluate_every: f.Count = Field(default=5, description="Rounds between two evaluations on held-out data")
    dtype: Annotated[Literal["float32", "float64"], f.choice("dtype", "float32", "float64")] = Field(
        default="float32", description="Of weights, activations and adapters in this computer"
    )
    device: Annotated[Literal["auto", "cpu", "cuda"], f.choice("device", "auto", "cpu", "cuda")] = Field(
        default="auto", description="Where tensors live in this computer"
    )
    memory: f.Size = Field(default=float(2**30), description="Saved activations of one autograd pass in this computer")
    threads: f.OptionalCount = Field(
        default=None, description="Threads of torch in this computer; null: torch's choice"
    )


class DeviceGroup(Section):
    """Equal devices, but for the luck of each."""

    name: f.OptionalName = Field(default=None, description="Default: the profile's name")
    profile: f.Text = Field(description="A device of the catalogue, or a class such as phone-mid")
    count: f.OptionalCount = Field(default=None, description="How many; or give share")
    share: f.OptionalShare = Field(default=None, description="Part of num_devices")
    access: f.Text = Field(description="A key of network.access")
    cell: f.OptionalText = Field(default=None, description="A key of network.cells, if the radio is shared")
    split: f.OptionalNatural = Field(default=None, description="Instead of model.split")
    rank: f.OptionalCount = Field(default=None, description="Instead of lora.rank")
    speed_spread: f.NonNegative = Field(default=0.3, description="Lognormal sigma of each device's speed")


class Access(Section):
    """A device's own link, each way. Latency is one way."""

    up: f.Rate = Field(description="Away from the device")
    down: f.Rate = Field(description="Towards the device")
    latency: f.Duration = Field(description="One way")
    loss: f.Loss = Field(default=0.0, description="Probability that a packet is lost")
    spread: f.NonNegative = Field(default=0.0, description="Lognormal sigma of each device's rates around up and down")


class Pair(Section):
    """A shared link, each way: the same capacity both ways, or up and down apart. Latency is one way."""

    capacity: f.OptionalRate = Field(default=None, description="In each direction")
    up: f.OptionalRate = Field(default=None, description="Away from the devices")
    down: f.OptionalRate = Field(default=None, description="Towards the devices")
    latency: f.Duration = Field(default=0.0, description="One way")

    @property
    def rates(self) -> tuple[float, float]:
        """Up and down in bits per second."""
        up, down = self.up or self.capacity, self.down or self.capacity
        assert up is not None
        assert down is not None
        return up, down


class Cell(Pair):
    """A radio cell or access point that its devices share."""

    count: f.Count = Field(default=1, description="So many equal cells; devices are dealt out in turn")


class NetworkSection(Section):
    """The links between devices, server and aggregation server."""

    model: Annotated[Literal["pure", "tcp"], f.choice("network model", "pure", "tcp")] = Field(
        default="tcp", description="pure: max-min sharing and latency; tcp: with TCP's start-up, overhead and shares"
    )
    access: dict[f.Name, Access] = Field(description="Classes of device links")
    cells: dict[f.Name, Cell] = Field(default={}, description="Shared radio cells")
    backhaul: Pair | None = Field(default=None, description="One link that all devices share")
    server: Pair = Field(default=Pair(capacity=10e9, latency=1e-3), description="The server's network interface")
    aggregator: Pair = Field(default=Pair(capacity=1e9, latency=1e-3), description="The aggregation server's")


class ServerSection(Section):
    """The machine that holds the rest of the model."""

    profile: f.Text = Field(default="a100", description="A device of the catalogue")
    speed: f.Positive = Field(default=1.0, description="Relative to the profile; 4 equal GPUs in perfect parallel: 4")


class AggregatorSection(Section):
    """The machine that averages adapters."""

    profile: f.Text = Field(default="laptop", description="A device of the catalogue")


@dataclass(frozen=True, slots=True)
class Group:
    """A group of devices with everything decided."""

    name: str
    profile: str
    count: int
    access: str
    cell: str | None
    split: int
    rank: int
    speed_spread: float


class Scenario(Section):
    """A whole scenario."""

    name: f.Text = Field(default="scenario", description="Default: the file's name")
    seed: f.Natural = Field(default=1, description="Root of every random stream")
    horizon: f.PositiveDuration = Field(default=365 * 86400.0, description="Virtual time at which a run is given up")
    algorithm: Annotated[str, f.choice("algorithm", *ALGORITHMS)] = Field(
        default="splitlora", description="How it trains"
    )
    model: ModelSection = ModelSection()
    lora: LoraSection = LoraSection()
    data: DataSection = DataSection()
    training: TrainingSection = TrainingSection()
    num_devices: f.OptionalCount = Field(default=None, description="Fleet size, where groups give shares")
    devices: tuple[DeviceGroup, ...] = Field(description="Groups of devices")
    network: NetworkSection
    server: ServerSection = ServerSection()
    aggregator: AggregatorSection = AggregatorSection()

    @property
    def timed_model(self) -> str:
        """The model whose FLOPs, bytes and memory are charged."""
        return self.model.timed_as or self.model.name

    @property
    def fleet_size(self) -> int:
        """Number of devices."""
        return sum(group.count for group in self.groups)

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The groups with names, counts, splits and ranks filled in."""
        counts = group_counts([group.count for group in self.devices], self._shares(), self.num_devices)
        names = group_names([(group.name, group.profile) for group in self.devices])
        return tuple(
            Group(
                name,
                group.profile,
                count,
                group.access,
                group.cell,
                self.model.split if group.split is None else group.split,
                self.lora.rank if group.rank is None else group.rank,
                group.speed_spread,
            )
            for group, name, count in zip(self.devices, names, counts, strict=True)
        )

    def _shares(self) -> list[float]:
        return [group.share or 0.0 for group in self.devices]

    def resolve(self, path: str | None) -> Path | None:
        """A path of the scenario; reading made it absolute."""
        return None if path is None else Path(path)


def group_counts(counts: list[int | None], shares: list[float], total: int | None) -> list[int]:
    """Devices of each group; shares are rounded by the largest remainder, ties to the first group."""
    if total is None:
        return [count or 0 for count in counts]
    exact = [share * total / sum(shares) for share in shares]
    whole = [int(value + 1e-9) for value in exact]
    by_remainder = sorted(range(len(exact)), key=lambda index: (whole[index] - exact[index], index))
    for index in by_remainder[: total - sum(whole)]:
        whole[index] += 1
    return whole


def group_names(given: list[tuple[str | None, str]]) -> list[str]:
    """Each group's name: the given one, else its profile's, with -2, -3 where that is taken."""
    taken = {name for name, _ in given if name}
    names: list[str] = []
    for name, profile in given:
        chosen = name or profile
        number = 2
        while not name and chosen in taken:
            chosen, number = f"{profile}-{number}", number + 1
        taken.add(chosen)
        names.append(chosen)
    return names
