"""One device in figures: how fast it computes, how fast it reads memory, how much fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from devices.format import short_bytes, short_rate

Backend = Literal["cpu", "gpu-fp32", "gpu-fp16"]

PEAK_OF_BACKEND: Final[dict[Backend, str]] = {
    "cpu": "cpu_fp32_flops_per_s",
    "gpu-fp32": "gpu_fp32_flops_per_s",
    "gpu-fp16": "gpu_fp16_flops_per_s",
}


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Profile:
    """What is known of one real device. ``None`` means "no source found", never zero.

    Peaks are those of the data sheet; `efficiency` is the share of the backend's peak that training reaches.
    Power and battery are carried for `devices.energy`, `sustained_ratio` (throughput after long load over peak) for
    `devices.heat`. `source`, `derived_fields` and `note` say where each figure was seen, by which
    formula it was computed, and what is only general knowledge.

    Raises `ValueError` when a figure is not positive, a share exceeds 1, or more RAM is usable than there is.
    """

    id: str
    name: str
    device_class: str  # phone-low, phone-mid, phone-high, sbc, jetson, laptop, desktop-gpu, server
    backend: Backend
    efficiency: float  # share of the backend's peak reached when training, 0 < share <= 1
    efficiency_source: str  # begins with "measured:", "derived:" or "assumed:"
    soc: str = ""
    year: int | None = None
    kernel_overhead_s: float | None = None  # per kernel launch; charged on GPU backends only
    kernel_overhead_source: str = ""
    half_efficiency_tokens: float | None = None  # tokens a pass at which half of `efficiency` is reached; GPUs only
    half_efficiency_source: str = ""
    gpu_fp32_flops_per_s: float | None = None
    gpu_fp16_flops_per_s: float | None = None  # NVIDIA from Volta on: dense tensor cores
    cpu_fp32_flops_per_s: float | None = None  # all cores
    memory_bandwidth_bytes_per_s: float | None = None  # DRAM peak
    ram_bytes: int | None = None
    usable_ram_bytes: int | None = None  # what one training process may hold
    active_power_w: float | None = None
    idle_power_w: float | None = None
    training_power_w: float | None = None  # while it trains
    resting_power_w: float | None = None  # while it waits: idle, screen off
    power_source: str = ""
    battery_wh: float | None = None
    sustained_ratio: float | None = None
    source: str = ""
    derived_fields: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        """Refuse figures that cannot be, naming figure and device."""
        if self.backend not in get_args(Backend):
            raise ValueError(f"device {self.id!r}: backend must be one of {_backends()}, got {self.backend!r}")
        for figure in _POSITIVE:
            value: float | None = getattr(self, figure)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"device {self.id!r}: {figure} must be positive and finite, got {value}")
        for share in ("efficiency", "sustained_ratio"):
            value = getattr(self, share)
            if value is not None and value > 1:
                raise ValueError(f"device {self.id!r}: {share} must be a share in (0, 1], got {value}")
        if self.ram_bytes is not None and self.usable_ram_bytes is not None and self.usable_ram_bytes > self.ram_bytes:
            raise ValueError(
                f"device {self.id!r}: usable_ram_bytes {self.usable_ram_bytes} exceeds ram_bytes {self.ram_bytes}"
            )

    def known(self, figure: str) -> float:
        """The figure of that field name; `ValueError` naming figure and device where no source was found."""
        value: float | None = getattr(self, figure)
        if value is None:
            raise ValueError(self.unknown(figure))
        return value

    def unknown(self, *figures: str) -> str:
        """The sentence that says of these figures that nobody knows them."""
        verb, them = ("is", "it") if len(figures) == 1 else ("are", "them")
        return f"device {self.id!r} ({self.name}): {', '.join(figures)} {verb} unknown, no source was found for {them}"

    @property
    def peak_flops_per_s(self) -> float:
        """Peak of the backend that trains; `ValueError` naming figure and device when it is unknown."""
        return self.known(PEAK_OF_BACKEND[self.backend])

    @property
    def training_flops_per_s(self) -> float:
        """What training reaches at full speed with many tokens a pass: efficiency x peak; see `peak_flops_per_s`."""
        return self.efficiency * self.peak_flops_per_s

    @property
    def provenance(self) -> dict[str, str]:
        """Where the figures come from; entries nobody wrote are absent."""
        stated = {
            "source": self.source,
            "derived": self.derived_fields,
            "note": self.note,
            "efficiency": self.efficiency_source,
            "kernel_overhead": self.kernel_overhead_source,
            "half_efficiency": self.half_efficiency_source,
            "power": self.power_source,
        }
        return {what: text for what, text in stated.items() if text}

    def __repr__(self) -> str:
        """Backend, share of peak, memory; `?` where unknown."""
        peak = getattr(self, PEAK_OF_BACKEND[self.backend])
        reads = self.memory_bandwidth_bytes_per_s
        parts = (
            f"{self.backend} {self.efficiency:g} of {'?' if peak is None else short_rate(peak, 'FLOP/s')}",
            f"{'?' if reads is None else short_rate(reads, 'B/s')}",
            f"{'?' if self.usable_ram_bytes is None else short_bytes(self.usable_ram_bytes)} usable",
        )
        return f"<Profile {self.id} {', '.join(parts)}>"


_POSITIVE: Final = (
    "efficiency",
    "kernel_overhead_s",
    "half_efficiency_tokens",
    *PEAK_OF_BACKEND.values(),
    "memory_bandwidth_bytes_per_s",
    "ram_bytes",
    "usable_ram_bytes",
    "active_power_w",
    "idle_power_w",
    "training_power_w",
    "resting_power_w",
    "battery_wh",
    "sustained_ratio",
)


def _backends() -> str:
    return ", ".join(get_args(Backend))


def figures_of_training(profile: Profile) -> tuple[str, ...]:
    """The names of the figures without which no training on that device can be timed and held."""
    always = (PEAK_OF_BACKEND[profile.backend], "memory_bandwidth_bytes_per_s", "usable_ram_bytes")
    return always if profile.backend == "cpu" else (*always, "kernel_overhead_s", "half_efficiency_tokens")
