"""What a radio channel carries: distance, shadowing and fading to a signal-to-noise ratio, and that to bits per second.

Sources, as recalled and not re-read: path loss 128.1 + 37.6 log10(km) dB (macro cell, 2 GHz), base station 46 dBm,
antenna gain 15 dBi and noise figures 5 dB (base station) and 9 dB (phone) of 3GPP TR 36.942; phones send with 23 dBm
(TS 36.101, power class 3) and are at least 35 m away, with 8 dB of shadowing (TR 36.814, case 1). Rate by the truncated
Shannon bound of TR 36.942, annex A: bandwidth x share x log2(1 + SNR), up to what the highest modulation carries:
0.6 and 4.4 bit/s/Hz down, 0.4 and 2.0 up. Fading: Rayleigh, constant for a coherence time and drawn anew for the next.

Not modelled: interference of other cells (say it as a margin), power control, several antennas, retransmissions, the
least signal that can be decoded, movement (a phone stays where it is; its fading is that of its surroundings).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from netmodels.capacity import Capacity, Constant
from netmodels.sampled import Sampled, generator

Number = TypeVar("Number", float, NDArray[np.float64])

LEAST_DISTANCE_M: Final = 35.0
_NOISE_DBM_PER_HZ: Final = -174.0  # thermal noise at 290 K
_BLOCK_STEPS: Final = 256


@dataclass(frozen=True, slots=True)
class Direction:
    """One direction of a radio: who sends how strongly, who hears it, and how well bits fit into it."""

    sent_dbm: float
    noise_figure_db: float
    efficiency: float  # share of Shannon's bound
    most_bits_per_s_per_hz: float  # the highest modulation and coding

    def snr_db(self, loss_db: Number, bandwidth_hz: float) -> Number:
        """Mean signal-to-noise ratio over a channel, or channels, that lose `loss_db` between the antennas."""
        noise_dbm = _NOISE_DBM_PER_HZ + 10 * math.log10(bandwidth_hz) + self.noise_figure_db
        return self.sent_dbm + ANTENNA_GAIN_DB - loss_db - noise_dbm

    def rates_bps(self, snr: NDArray[np.float64], bandwidth_hz: float) -> NDArray[np.float64]:
        """Bits per second at signal-to-noise ratios (not dB)."""
        per_hz: NDArray[np.float64] = np.minimum(self.efficiency * np.log2(1 + snr), self.most_bits_per_s_per_hz)
        return bandwidth_hz * per_hz


ANTENNA_GAIN_DB: Final = 15.0
UP: Final = Direction(sent_dbm=23.0, noise_figure_db=5.0, efficiency=0.4, most_bits_per_s_per_hz=2.0)
DOWN: Final = Direction(sent_dbm=46.0, noise_figure_db=9.0, efficiency=0.6, most_bits_per_s_per_hz=4.4)


def path_loss_db(distance_m: float) -> float:
    """Log-distance path loss in dB; nobody is nearer than 35 m. ValueError for a distance that is no distance."""
    if not 0 <= distance_m < math.inf:
        raise ValueError(f"a distance must be finite and >= 0 m, got {distance_m!r}")
    return 128.1 + 37.6 * math.log10(max(distance_m, LEAST_DISTANCE_M) / 1e3)


def path_losses_db(distances_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """`path_loss_db` of many distances, equal to it but for rounding."""
    return 128.1 + 37.6 * np.log10(np.maximum(distances_m, LEAST_DISTANCE_M) / 1e3)


def distances_m(ranks: NDArray[np.float64], radius_m: float) -> NDArray[np.float64]:
    """Distances of phones spread evenly over a cell's area, from ranks in 0..1; 35 m at least, `radius_m` at most.

    Raises ValueError unless the radius is finite and beyond the least distance.
    """
    if not LEAST_DISTANCE_M < radius_m < math.inf:
        raise ValueError(f"a cell's radius must be finite and > {LEAST_DISTANCE_M:g} m, got {radius_m!r}")
    return np.sqrt(LEAST_DISTANCE_M**2 + ranks * (radius_m**2 - LEAST_DISTANCE_M**2))


def channel(
    direction: Direction, loss_db: float, bandwidth_hz: float, *, coherence_s: float | None, seed: int
) -> Capacity:
    """What one phone gets with the whole bandwidth to itself; constant without a coherence time.

    Equal arguments give the same function of time. Raises ValueError for a bandwidth or a coherence time that is not
    above 0, and for a channel so weak that it carries less than 1 bit/s on average.
    """
    if not 0 < bandwidth_hz < math.inf:
        raise ValueError(f"a bandwidth must be finite and > 0 Hz, got {bandwidth_hz!r}")
    mean_snr = 10 ** (direction.snr_db(loss_db, bandwidth_hz) / 10)
    mean_bps = float(direction.rates_bps(np.array([mean_snr]), bandwidth_hz)[0])
    if mean_bps < 1:
        raise ValueError(f"a channel that loses {loss_db:.0f} dB carries less than 1 bit/s")
    if coherence_s is None:
        return Constant(mean_bps)

    def draw(block: int) -> NDArray[np.float64]:
        gains = generator(seed, block).standard_exponential(_BLOCK_STEPS)  # the power of a Rayleigh amplitude
        return direction.rates_bps(mean_snr * gains, bandwidth_hz)

    return Sampled(coherence_s, bandwidth_hz * direction.most_bits_per_s_per_hz, draw, block_steps=_BLOCK_STEPS)
