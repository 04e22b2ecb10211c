"""The same device on another of its processors: what share of that peak training reaches, by class and backend.

The catalogue times each device on the backend that people train on. Another one has the device's own peak, and the
share of its class; where no figure is known for a class, as for a board's GPU, it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from devices.profile import PEAK_OF_BACKEND, Backend, Profile

TOKENS_PER_FLOP_PER_S: Final = 1.36e-12
"""Tokens a pass for half of a GPU's efficiency, per FLOP/s of its peak: what A100 (1.33) and H100 (1.39) give."""

_GENERIC: Final = (
    "derived: generic kernels reach 0.05-0.08 of phone GPUs (CLBlast on Adreno 330 and 530, MNN on Adreno 640, "
    "llama.cpp prompts on Adreno 740); tuned ones 0.3-0.45"
)
_BOARDS: Final = (
    "assumed: as CPUs of boards, which reach 0.41-0.49 in HPL (github geerlingguy/top500-benchmark:README.md)"
)
_HALF: Final = "assumed: as FP32 kernels reach on a peak twice as high; no measurement was found"
_GPU: Final = "assumed: half of the FP32 peak; no measurement was found"
_TENSOR: Final = "assumed: 0.25-0.35 of the tensor peak; no measurement was found"

EFFICIENCIES: Final[Mapping[tuple[str, Backend], tuple[float, str]]] = MappingProxyType(
    {(phone, "gpu-fp32"): (0.06, _GENERIC) for phone in ("phone-low", "phone-mid", "phone-high")}
    | {(phone, "gpu-fp16"): (0.03, _HALF) for phone in ("phone-low", "phone-mid", "phone-high")}
    | {
        ("jetson", "cpu"): (0.4, _BOARDS),
        ("jetson", "gpu-fp32"): (0.5, _GPU),
        ("jetson", "gpu-fp16"): (0.3, _TENSOR),
        ("laptop", "cpu"): (0.4, _BOARDS),
        ("laptop", "gpu-fp32"): (0.5, _GPU),
        ("desktop-gpu", "gpu-fp32"): (0.5, _GPU),
        ("server", "gpu-fp32"): (0.5, _GPU),
    }
)
"""Share of the backend's peak, and where it is from, for devices whose catalogue entry is for another backend."""


def on_backend(profile: Profile, backend: Backend) -> Profile:
    """That device as it trains on that backend; itself on its own.

    Raises ValueError where its class has no efficiency there, or the device no known peak.
    """
    if backend == profile.backend:
        return profile
    if (profile.device_class, backend) not in EFFICIENCIES:
        known = [each for each in PEAK_OF_BACKEND if (profile.device_class, each) in EFFICIENCIES]
        allowed = ", ".join(dict.fromkeys([profile.backend, *known]))
        raise ValueError(
            f"no efficiency is known for {backend} on {profile.device_class} devices such as {profile.id} "
            f"(allowed: {allowed}); a table of your own can give one"
        )
    efficiency, source = EFFICIENCIES[profile.device_class, backend]
    moved = replace(profile, backend=backend, efficiency=efficiency, efficiency_source=source)
    peak = moved.peak_flops_per_s
    if backend == "cpu":
        return moved
    return replace(
        moved,
        half_efficiency_tokens=max(1, round(TOKENS_PER_FLOP_PER_S * peak)),
        half_efficiency_source="assumed: 1.36 tokens per TFLOP/s of peak, as the A100 (1.33) and the H100 (1.39) give",
    )
