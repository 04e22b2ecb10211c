"""Figures as people read them. For messages and `repr` only: nothing parses these strings."""

from typing import Final

_BINARY: Final = ("bytes", "KiB", "MiB", "GiB", "TiB")
_DECIMAL: Final = ("", "k", "M", "G", "T", "P")
_DIGITS: Final = 3


def short_bytes(size_bytes: float) -> str:
    """Three digits with a binary prefix: ``1.91 GiB``; below 1024, whole bytes."""
    return _scaled(size_bytes, 1024, _BINARY)


def exact_bytes(size_bytes: float) -> str:
    """Both readings, so that neither GiB nor GB can be misread: ``1.91 GiB (2,050,000,000 bytes)``."""
    return f"{short_bytes(size_bytes)} ({round(size_bytes):,} bytes)"


def short_rate(per_s: float, unit: str) -> str:
    """Three digits with a decimal prefix: ``short_rate(65.9e9, "FLOP/s")`` is ``65.9 GFLOP/s``."""
    number, _, prefix = _scaled(per_s, 1000, _DECIMAL).partition(" ")
    return f"{number} {prefix}{unit}"


def _scaled(value: float, base: int, prefixes: tuple[str, ...]) -> str:
    power = 0
    # the rounded value decides, so that 1023.9 KiB reads 1 MiB and never 1.02e+03 KiB
    while power < len(prefixes) - 1 and round(value) >= base:
        value /= base
        power += 1
    digits = f"{value:.{_DIGITS}g}" if value < 10**_DIGITS else f"{value:.0f}"
    return f"{digits} {prefixes[power]}"
