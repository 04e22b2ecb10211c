"""The cut between device and server inside one autograd pass: straight through, with what a lossy link does to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Codec = Callable[[Tensor], Tensor]
"""What a message does to the tensor it carries: encode and decode [rows, T, D], same shape back."""


class _Cut(torch.autograd.Function):
    """Only rows ``start`` .. ``start + rows - 1`` are cut at this block; the others pass untouched."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 -- torch leaves the context untyped
        x_RTD: Tensor,
        start: int,
        rows: int,
        upload: Codec,
        download: Codec,
    ) -> Tensor:
        ctx.start, ctx.rows, ctx.download = start, rows, download
        y_RTD = x_RTD.clone()
        y_RTD[start : start + rows] = upload(x_RTD[start : start + rows])
        return y_RTD

    @staticmethod
    def backward(ctx: Any, dy_RTD: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 -- as above
        dx_RTD = dy_RTD.clone()
        part = slice(ctx.start, ctx.start + ctx.rows)
        dx_RTD[part] = ctx.download(dy_RTD[part])
        return dx_RTD, None, None, None, None


def cut(x_RTD: Tensor, start: int, rows: int, *, upload: Codec, download: Codec) -> Tensor:
    """Send some rows' activations through ``upload`` and, on the way back, their gradients through ``download``."""
    y_RTD: Tensor = _Cut.apply(x_RTD, start, rows, upload, download)
    return y_RTD
