"""Heat: a device that works hard slows down, and recovers while it rests.

Warmth w is 0 when cold and 1 when as hot as steady work makes it. While the device works, w' = (1 - w) / tau; while it
rests, w' = -w / tau_cool. Its speed is 1 - (1 - s) w. From cold that is the curve seen in long runs,

    speed(t) = s + (1 - s) exp(-t / tau),

where s is the share of its speed that a device keeps for ever. Work of W seconds at full speed, begun at warmth w0,
ends after the t that solves  s t + (1 - s) (1 - w0) tau (1 - exp(-t / tau)) = W:  the speed is integrated over the
computation, not taken at its start, so cutting a computation in two changes nothing.

Sources of the constants: s is the catalogue's `sustained_ratio` (3DMark Wild Life stability of 20 minutes, or a long
run of a language model: so a figure of the GPU, taken here for the CPU too). tau of phone CPUs is 8 minutes: Snapdragon
8 Gen 3 decoding, 12.4, 9.1, 6.2, 4.1, 3.8 tokens/s after 0, 5, 10, 15, 30 minutes (one blog, mvpfactory.io: 4 to 11
minutes by point). tau of phone GPUs is 65 s: iPhone 17 Pro, a quarter lost after 35 and 40 s (dev.to john-rocky).

Not modelled: the weather, the case, charging while training, cores switched off, a device that shuts down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from devices.profile import Profile

CPU_TAU_S: Final = 480.0
GPU_TAU_S: Final = 65.0
FLAGSHIPS_HEAT_SINCE: Final = 2022

_MOST_STEPS: Final = 64
_HALF_THE_DIGITS: Final = 1e-8  # of a time: the step that is so small brings the others


@dataclass(frozen=True, slots=True)
class Throttle:
    """How a device slows down: the share ``sustained`` it keeps, and how fast it heats and cools (both constants)."""

    sustained: float
    heating_s: float
    cooling_s: float
    source: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if not 0 < self.sustained <= 1:
            raise ValueError(f"the sustained share of speed must be in (0, 1], got {self.sustained}")
        if not (0 < self.heating_s < math.inf and 0 < self.cooling_s < math.inf):
            raise ValueError(f"time constants must be positive and finite, got {self.heating_s} and {self.cooling_s} s")

    def seconds(self, full_speed_s: float, warmth: float) -> float:
        """How long work takes that would take ``full_speed_s`` in the cold, begun at that warmth.

        Newton's method from below: the work done is a concave, increasing function of time, so every step stays below
        the answer and the last ones double the digits. It begins with the time at the speed of the beginning.
        """
        sustained, heating_s = self.sustained, self.heating_s
        if sustained == 1:
            return full_speed_s
        slack = (1 - sustained) * (1 - warmth)
        slack_s = slack * heating_s
        spent_s = full_speed_s / (sustained + slack)
        for _ in range(_MOST_STEPS):
            gone = math.expm1(-spent_s / heating_s)
            missing_s = full_speed_s - sustained * spent_s + slack_s * gone
            step_s = missing_s / (sustained + slack * (1 + gone))
            spent_s += step_s
            if step_s <= _HALF_THE_DIGITS * spent_s:
                break
        return spent_s

    def warmed(self, warmth: float, busy_s: float) -> float:
        """Warmth after so long a time of work."""
        return 1 - (1 - warmth) * math.exp(-busy_s / self.heating_s)

    def cooled(self, warmth: float, idle_s: float) -> float:
        """Warmth after so long a rest."""
        return warmth * math.exp(-idle_s / self.cooling_s)


NEVER: Final = Throttle(1.0, CPU_TAU_S, CPU_TAU_S, "no throttling")


def throttle_of(profile: Profile) -> Throttle:
    """How that device slows down: its own `sustained_ratio`, else that of its class (then the source says "assumed").

    Phones of the low and middle class 0.95, flagships 0.9 up to 2021 and 0.55 later (listed: 0.35 to 0.75); everything
    else is taken to have the fan it needs. Phones cool as fast as they heat: assumed.
    """
    tau_s = CPU_TAU_S if profile.backend == "cpu" else GPU_TAU_S
    if profile.sustained_ratio is not None:
        return Throttle(profile.sustained_ratio, tau_s, tau_s, "the device's sustained_ratio")
    if profile.device_class in ("phone-low", "phone-mid"):
        return Throttle(0.95, tau_s, tau_s, "assumed: low and middle phones listed keep 0.95-1")
    if profile.device_class == "phone-high":
        old = profile.year is not None and profile.year < FLAGSHIPS_HEAT_SINCE
        what = "0.9, as flagships up to 2021" if old else "0.55, of 0.35-0.75 listed for flagships since 2022"
        return Throttle(0.9 if old else 0.55, tau_s, tau_s, f"assumed: {what}")
    return NEVER


class Heat:
    """The warmth of one device as virtual time goes on; cold at 0 s."""

    def __init__(self, throttle: Throttle) -> None:
        """Begin cold."""
        self.throttle = throttle
        self.warmth = 0.0
        self._at_s = 0.0

    def begin(self, now_s: float, full_speed_s: float) -> float:
        """Rest until now; return how long work takes that begins now. Call `end` when it is over or broken off."""
        if now_s > self._at_s:
            self.warmth = self.throttle.cooled(self.warmth, now_s - self._at_s)
            self._at_s = now_s
        return self.throttle.seconds(full_speed_s, self.warmth)

    def end(self, now_s: float) -> None:
        """Work was going on since `begin`, and stops now."""
        busy_s = 0.0
        if now_s > self._at_s:
            busy_s, self._at_s = now_s - self._at_s, now_s
        self.warmth = self.throttle.warmed(self.warmth, busy_s)
