"""A scenario: frozen sections, every field documented, every default in sight.

The names are those of the file. Floats are SI (see ``fields``): seconds, bytes, bits per second, fractions.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationInfo

from devices.backends import on_backend
from devices.catalog import extended, find
from devices.profile import Backend, Profile
from netmodels.catalog import LinkClass
from netmodels.catalog import extended as extended_links
from netmodels.catalog import find as find_link
from simulator.scenario import code
from simulator.scenario.algorithms import ALGORITHMS, Traits
from simulator.scenario.availability import NO_CLASSES, Classes, TimeOfDay
from simulator.scenario.data import Data
from simulator.scenario.fields import (
    Betas,
    Count,
    Duration,
    ExistingPath,
    GroupName,
    Loss,
    ModelName,
    Natural,
    NonNegative,
    NotEmpty,
    Part,
    Positive,
    ProfileName,
    Rate,
    ScenarioName,
    Section,
    Share,
    Size,
    Span,
    Surroundings,
    Switch,
    Targets,
    Text,
    Tokens,
    one_of,
)
from simulator.scenario.groups import Group, apportion
from simulator.scenario.memory import Memory
from simulator.scenario.network import Network
from simulator.scenario.paths import MODELS
from simulator.scenario.study import Study


def one_algorithm(value: object, info: ValidationInfo) -> str:
    """An algorithm's name, or the file of one; several are for a study."""
    if isinstance(value, list):
        raise ValueError(f"a run has one algorithm, got a list of {len(value)}: compare them with `splitwire study`")
    name = code.name_or_file("algorithm", tuple(ALGORITHMS), "train")(value, info)
    if code.is_file(name):
        code.traits_of(Path(name))  # what is wrong with them is told now
    return name


Algorithm = Annotated[str, BeforeValidator(one_algorithm)]
TimedModel = Annotated[str, BeforeValidator(one_of("model", MODELS))]
Init = Annotated[Literal["pretrained", "random"], BeforeValidator(one_of("init", ("pretrained", "random")))]
Export = Annotated[Literal["global", "clients"], BeforeValidator(one_of("export", ("global", "clients")))]
Weights = Annotated[Literal["data", "equal"], BeforeValidator(one_of("weights", ("data", "equal")))]
ServerSteps = Annotated[Literal["one", "each"], BeforeValidator(one_of("server_steps", ("one", "each")))]
DTYPES: Final = ("float32", "bfloat16", "tf32", "float64")
Dtype = Annotated[Literal["float32", "bfloat16", "tf32", "float64"], BeforeValidator(one_of("dtype", DTYPES))]
Rule = Annotated[Literal["adamw", "sgd"], BeforeValidator(one_of("optimizer", ("adamw", "sgd")))]
SCHEDULES: Final = ("constant", "linear", "cosine")
Schedule = Annotated[Literal["constant", "linear", "cosine"], BeforeValidator(one_of("schedule", SCHEDULES))]
MOMENTS: Final = ("keep", "reset", "average")
Moments = Annotated[Literal["keep", "reset", "average"], BeforeValidator(one_of("moments", MOMENTS))]
SELECTIONS: Final = ("random", "round-robin", "fastest")
Selection = Annotated[str, BeforeValidator(code.name_or_file("selection", SELECTIONS, "select"))]
Wait = Annotated[Literal["all", "deadline", "first"], BeforeValidator(one_of("rule", ("all", "deadline", "first")))]
Compute = Annotated[Literal["auto", "cpu", "cuda"], BeforeValidator(one_of("device", ("auto", "cpu", "cuda")))]

Discipline = Annotated[
    Literal["fifo", "shortest", "device"], BeforeValidator(one_of("discipline", ("fifo", "shortest", "device")))
]
OnOom = Annotated[
    Literal["refuse", "drop", "shallower"], BeforeValidator(one_of("way out", ("refuse", "drop", "shallower")))
]
OnBackend = Annotated[Backend, BeforeValidator(one_of("backend", get_args(Backend)))]
Energy = Annotated[Literal["auto", "required"], BeforeValidator(one_of("energy", ("auto", "required")))]


class Model(Section):
    """The model that is trained, and where it is cut."""

    name: ModelName = Field(
        default="mini", description="mini, a GPT-2, a hub name owner/name, or a local folder (GPT-2, Llama, Qwen2)"
    )
    timed_as: TimedModel | None = Field(
        default=None, description="time and weigh the messages as that model's; null: the trained model's own"
    )
    split: Natural = Field(default=3, description="number of blocks on the device, 0 up to all")
    tokenizer: ExistingPath | None = Field(default=None, description="folder with tokenizer.json; null: the model's")
    init: Init = Field(default="pretrained", description="where the base weights come from")
    dropout: Loss = Field(default=0.0, description="dropout of the base, behind the embedding and in every block")


class Lora(Section):
    """The adapter."""

    targets: Targets = Field(
        default=("c_attn",),
        description="projections of every block: c_attn or q, k, v; attn.c_proj, mlp.c_fc, mlp.c_proj (or q_proj ...)",
    )
    rank: Count = Field(default=8, description="rank of the update, at most the model's width")
    alpha: Positive = Field(default=16.0, description="scale of the update; it is multiplied by alpha / rank")
    dropout: Loss = Field(default=0.0, description="dropout of the adapters' input")
    init: ExistingPath | None = Field(
        default=None,
        description="folder of a PEFT checkpoint to start from; null: fresh adapters, without effect",
    )


class Training(Section):
    """How long and how it is trained."""

    rounds: Count = Field(default=50, description="global rounds")
    batch: Count = Field(default=4, description="sequences per device and round")
    tokens: Tokens = Field(default=64, description="positions per sequence, at most the model's")
    optimizer: Rule = Field(default="adamw", description="adamw, or sgd")
    learning_rate: Positive = Field(default=2e-3, description="the optimizer's learning rate, before the schedule")
    schedule: Schedule = Field(default="constant", description="learning rate over the rounds, behind the warm-up")
    warmup: Natural = Field(default=0, description="rounds in which the learning rate grows from 0, fewer than all")
    clip: NonNegative = Field(default=0.0, description="largest norm of a client's gradient; 0: none")
    weight_decay: NonNegative = Field(default=0.01, description="AdamW's decoupled decay, or SGD's")
    betas: Betas = Field(default=(0.9, 0.999), description="AdamW's decay rates")
    epsilon: Positive = Field(default=1e-6, description="AdamW's epsilon")
    momentum: Loss = Field(default=0.0, description="SGD's momentum")
    moments: Moments = Field(default="keep", description="a device's moments when it takes the average")
    aggregate_every: Count = Field(default=5, description="rounds between two averages of the device adapters")
    server_steps: ServerSteps = Field(
        default="one",
        description="splitlora: one step of the server over all batches (the paper), or one for each device, in "
        "their order (the published code)",
    )
    weights: Weights = Field(default="data", description="averaging weights: numbers of examples, or equal")
    participants: Count | None = Field(
        default=None, description="devices of a round, drawn anew after each average; null: all who are available"
    )
    select: Selection = Field(
        default="random", description="who is drawn: random, round-robin, fastest (by expected time), or a Python file"
    )
    over_selection: Part = Field(
        default=0.0, description="share of further devices that are drawn; a round goes on with the first participants"
    )
    wait: Wait = Field(
        default="all",
        description="whom the server waits for in a round: all, all until a deadline, or the first; gives up others",
    )
    deadline: Span | None = Field(
        default=None,
        description="wait: deadline: so long after a round opened, whoever's first message (activations; fedlora: "
        "adapters) has not arrived is given up",
    )
    first: Count | None = Field(default=None, description="wait: first: so many devices")
    timeout: Span | None = Field(
        default=None, description="whoever has not finished a round so long after it opened is given up; null: never"
    )
    evaluate_every: Count = Field(default=5, description="rounds between two validations")
    export: Export = Field(default="global", description="adapters that are kept: the average, or also every device's")
    dtype: Dtype = Field(default="float32", description="this machine's precision of the base; adapters: >= float32")
    device: Compute = Field(default="auto", description="where tensors live")
    memory: Size = Field(default=float(1 << 30), description="this machine's memory for one pass; the rest waits")
    checkpointing: Switch = Field(default="off", description="on: this machine computes blocks twice")
    bucket: Switch = Field(default="on", description="on: compute sequences of like length together")
    threads: Count | None = Field(default=None, description="threads of the numerics; null: the library's choice")


class DeviceGroup(Section):
    """Devices of one kind; either all groups have a count, or all have a share of num_devices."""

    name: GroupName = Field(description="unique name of the group; the profile's name where absent")
    profile: ProfileName = Field(description="device profile of the catalogue")
    count: Count | None = Field(default=None, description="number of devices")
    share: Share | None = Field(default=None, description="share of num_devices")
    access: Text = Field(description="access class, a key of network.access")
    cell: Text | None = Field(default=None, description="cell, a key of network.cells; null: no shared cell")
    split: Natural | None = Field(default=None, description="blocks on these devices; null: model.split")
    rank: Count | None = Field(default=None, description="LoRA rank of these devices; null: lora.rank")
    speed: Positive = Field(default=1.0, description="factor on the profile's speed")
    speed_spread: NonNegative = Field(default=0.3, description="lognormal sigma of the devices' speed factors")
    jitter: NonNegative = Field(default=0.0, description="lognormal sigma of each computation's time")
    background: Loss = Field(default=0.0, description="share of these devices' speed that other programs take")
    availability: Text | None = Field(default=None, description="a key of availability; null: always there")
    backend: OnBackend | None = Field(
        default=None, description="processor that trains: cpu, gpu-fp32 or gpu-fp16; null: the profile's own"
    )
    heat: Switch = Field(default="on", description="on: they slow down as they work, see devices/heat.py; off: never")


class Server(Section):
    """The machine that runs the blocks behind the cut."""

    profile: ProfileName = Field(default="a100", description="device profile of the catalogue")
    speed: Positive = Field(default=1.0, description="factor on the profile's speed")
    count: Count = Field(default=1, description="number of such machines: together in one pass, or each at the queue")
    interconnect: Rate = Field(
        default=126e9, description="what each of several machines sends to the next; PCI Express 3.0 x16 by default"
    )
    queue: Discipline = Field(
        default="fifo", description="splitlora-queued: who is served first: fifo, shortest (job), device (number)"
    )
    window: Duration = Field(
        default=0.0, description="splitlora-queued: time for others to come, for one pass over all who did"
    )


class Aggregator(Section):
    """The machine that averages the adapters."""

    profile: ProfileName = Field(default="laptop", description="device profile of the catalogue")


class Scenario(Section):
    """A whole experiment; ``load`` is the door through which cross-references are checked."""

    name: ScenarioName = Field(default="scenario", description="name of the runs; the file's stem where absent")
    seed: Natural = Field(default=1, description="root of all random streams")
    horizon: Span = Field(default=365 * 86400.0, description="virtual time at which a run is given up")
    algorithm: Algorithm = Field(
        default="splitlora",
        description=f"one of {', '.join(ALGORITHMS)} (docs/algorithms.md), or a Python file (docs/extending.md)",
    )
    model: Model = Field(default_factory=Model, description="the model and its cut")
    lora: Lora = Field(default_factory=Lora, description="the adapter")
    data: Data = Field(default_factory=Data, description="the data and their partition")
    training: Training = Field(default_factory=Training, description="the optimisation")
    energy: Energy = Field(
        default="auto",
        description="joules are counted wherever they are known; required: a group of unknown power is refused",
    )
    on_oom: OnOom = Field(
        default="refuse",
        description="for devices whose part is too big: refuse the scenario, drop them, or give them fewer blocks",
    )
    memory: Memory = Field(default_factory=Memory, description="how the parties hold their part")
    device_catalog: ExistingPath | None = Field(
        default=None, description="a table of your own devices, with columns of devices/catalog.csv"
    )
    link_catalog: ExistingPath | None = Field(
        default=None, description="a table of your own link classes, with columns of netmodels/catalog.csv"
    )
    num_devices: Count | None = Field(default=None, description="size of the fleet where groups have shares")
    devices: Annotated[tuple[DeviceGroup, ...], NotEmpty] = Field(description="groups of devices")
    network: Network = Field(description="links between devices and server")
    availability: Classes = Field(default=NO_CLASSES, description="when devices are there, by name")
    starts_at: TimeOfDay = Field(default=0.0, description="time of day at which the run begins")
    server: Server = Field(default_factory=Server, description="the server's machine")
    aggregator: Aggregator = Field(default_factory=Aggregator, description="the aggregator's machine")
    study: Study | None = Field(default=None, description="what `study` varies; not read by a run")

    _base_folder: Path = PrivateAttr(default_factory=Path.cwd)
    _source_path: Path | None = PrivateAttr(default=None)
    _overrides: tuple[object, ...] = PrivateAttr(default=())
    _code_hashes: Mapping[str, str] = PrivateAttr(default_factory=dict)

    def model_post_init(self, context: object) -> None:
        """Remember where the scenario came from; not part of its value."""
        if isinstance(context, Surroundings):
            self._base_folder, self._source_path = context.base_folder, context.source_path
            self._overrides = context.overrides

    def __eq__(self, other: object) -> bool:
        """Equal settings, wherever they were read from."""
        return isinstance(other, Scenario) and self._settings() == other._settings()

    def __hash__(self) -> int:
        """Equal scenarios have equal hashes."""
        return hash(self._settings())

    def _settings(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in Scenario.model_fields)

    @property
    def base_folder(self) -> Path:
        """Where relative paths of the scenario began; those of a loaded scenario are absolute already."""
        return self._base_folder

    @property
    def source_path(self) -> Path | None:
        """The file that was read; None for a text or a model made by hand."""
        return self._source_path

    @property
    def overrides(self) -> tuple[object, ...]:
        """What was changed in the file, in order."""
        return self._overrides

    @property
    def traits(self) -> Traits:
        """What the algorithm asks of the parties."""
        return code.traits_of(Path(self.algorithm)) if code.is_file(self.algorithm) else ALGORITHMS[self.algorithm]

    @property
    def code_hashes(self) -> Mapping[str, str]:
        """SHA-256 of the Python files that running the scenario may run, by path; nothing without permission."""
        return self._code_hashes

    def ask_for_code(self) -> None:
        """Let the scenario run the Python files that it names, where that is permitted; see `code.allowed`."""
        named = [Path(name) for name in (self.algorithm, self.training.select) if code.is_file(name)]
        self._code_hashes = code.permitted(named)

    def profile_of(self, group: Group) -> Profile:
        """The device profile of a group, on the processor that trains."""
        profile = self.find_profile(group.profile)
        return profile if group.backend is None else on_backend(profile, group.backend)

    def find_profile(self, name: str) -> Profile:
        """The device profile of that name, from the scenario's own table or the shipped one."""
        return find(name, None if self.device_catalog is None else extended(Path(self.device_catalog)))

    def find_link_class(self, name: str) -> LinkClass:
        """The class of access links of that name, from the scenario's own table or the shipped one."""
        return find_link(name, None if self.link_catalog is None else extended_links(Path(self.link_catalog)))

    @property
    def timed_model(self) -> str:
        """The model whose FLOPs and message sizes are charged."""
        return self.model.timed_as or self.model.name

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups with counts, splits and ranks filled in; shares are apportioned by largest remainder."""
        return tuple(
            Group(
                name=group.name,
                profile=group.profile,
                count=count,
                access=group.access,
                cell=group.cell,
                split=self.model.split if group.split is None else group.split,
                rank=self.lora.rank if group.rank is None else group.rank,
                speed=group.speed,
                speed_spread=group.speed_spread,
                jitter=group.jitter,
                background=group.background,
                availability=group.availability,
                heat=group.heat == "on",
                backend=group.backend,
            )
            for group, count in zip(self.devices, self._counts(), strict=True)
        )

    @property
    def fleet_size(self) -> int:
        """How many devices there are."""
        return sum(self._counts())

    def resolve(self, path: str | None) -> Path | None:
        """A path of the scenario; loading made it absolute."""
        return None if path is None else self._base_folder / path

    def _counts(self) -> list[int]:
        if self.num_devices is not None:
            return apportion([group.share for group in self.devices if group.share is not None], self.num_devices)
        return [group.count for group in self.devices if group.count is not None]
