"""Makes the exact tables of docs/papers.md, from the workload model alone; a test holds that the page has every line.

``python docs/make_papers.py`` prints them. The papers' figures were transcribed from SplitLoRA's project page
(github.com/FDU-INC/Split_LoRA: train_para.png) and, at second hand, from arXiv 2604.26388.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # so that this tree is asked, wherever it is called from
    sys.path.insert(0, str(Path(__file__).parents[1]))

from simulator.messages import DTYPES, activations_specs, adapter_specs, gradients_specs
from simulator.workload import DeviceWorkload, Lora, SplitWorkload, shape_of

MODELS = {"S": "gpt2", "M": "gpt2-medium"}
RANKS = (1, 2, 4, 8)
CLIENT_BLOCKS, BATCH, TOKENS, ALPHA = 3, 4, 512, 32.0
PUBLISHED = {  # trainable parameters per client in millions: CenLoRA and FedLoRA, SplitLoRA
    ("S", 1): ("0.031", "0.008"), ("S", 2): ("0.062", "0.015"),
    ("S", 4): ("0.124", "0.031"), ("S", 8): ("0.248", "0.062"),
    ("M", 1): ("0.089", "0.011"), ("M", 2): ("0.178", "0.022"),
    ("M", 4): ("0.355", "0.044"), ("M", 8): ("0.710", "0.088"),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One model and rank in the setting of the paper: q and v, three blocks on the client, 4 x 512 positions."""

    size: str
    rank: int

    @property
    def lora(self) -> Lora:
        return Lora(("q", "v"), self.rank, ALPHA)

    @property
    def split(self) -> SplitWorkload:
        return SplitWorkload(shape_of(MODELS[self.size]), self.lora, CLIENT_BLOCKS, BATCH, TOKENS)

    @property
    def whole(self) -> DeviceWorkload:
        shape = shape_of(MODELS[self.size])
        return DeviceWorkload(shape, self.lora, shape.num_blocks, BATCH, TOKENS)

    def adapter_payload_bytes(self, workload: SplitWorkload) -> int:
        """Numbers of the adapters alone, without the frame's names and shapes."""
        specs = adapter_specs(range(workload.split), self.lora.projections(workload.shape), rank=self.rank)
        return sum(spec.size_bytes for spec in specs.values())


CASES = [Case(size, rank) for size in MODELS for rank in RANKS]


def parameters() -> Iterator[str]:
    """Adapter parameters: ours, which are the published code's, and the published table's."""
    yield "| model | r | client | server | whole | whole : client | table: SplitLoRA | table: FedLoRA |"
    yield "|---|---|---|---|---|---|---|---|"
    for case in CASES:
        client, server = case.split.parameter_counts
        whole, split = PUBLISHED[case.size, case.rank]
        yield (
            f"| GPT2-{case.size} | {case.rank} | {client:,} | {server:,} | {client + server:,} | "
            f"{(client + server) / client:g} | {split} M | {whole} M |"
        )


def messages() -> Iterator[str]:
    """Bytes of one client's messages in float32, the tensors alone and as a frame."""
    yield "| model | r | activations | gradients | labels | adapters | whole model's | frames: up, down, adapters |"
    yield "|---|---|---|---|---|---|---|---|"
    for case in CASES:
        split, shape = case.split, case.split.shape
        up = activations_specs(BATCH, TOKENS, width=shape.width, vocab_size=shape.vocab_size)
        down = gradients_specs(BATCH, TOKENS, width=shape.width)
        yield (
            f"| GPT2-{case.size} | {case.rank} | {up['activations'].size_bytes:,} | {down['gradients'].size_bytes:,} | "
            f"{up['labels'].size_bytes:,} | {case.adapter_payload_bytes(split):,} | "
            f"{case.adapter_payload_bytes(case.whole):,} | "
            f"{split.activation_bytes:,}, {split.gradient_bytes:,}, {split.adapter_bytes:,} |"
        )


def flops() -> Iterator[str]:
    """MFLOP a token of the frozen products, forward: rank 0 does not exist, so the adapters are taken off."""
    yield "| model | block | head | client, 3 blocks | server | client's share | adapters a block, r = 4 |"
    yield "|---|---|---|---|---|---|---|"
    for size in MODELS:
        case = Case(size, 4)
        shape, positions = case.split.shape, BATCH * TOKENS
        adapters = 2 * 2 * 2 * shape.width * case.rank  # q and v: x A and (x A) B, two FLOPs a multiply-add
        client = case.split.client_forward.flops / positions - CLIENT_BLOCKS * adapters
        server = case.split.server_forward.flops / positions - (shape.num_blocks - CLIENT_BLOCKS) * adapters
        head = 2 * shape.width * shape.vocab_size
        yield (
            f"| GPT2-{size} | {client / CLIENT_BLOCKS / 1e6:.2f} | {head / 1e6:.1f} | {client / 1e6:.1f} | "
            f"{server / 1e6:.1f} | {100 * client / (client + server):.1f} % | {adapters / 1e6:.4f} |"
        )


def traffic() -> Iterator[str]:
    """Tensors that one client moves, both ways together."""
    yield "| model, r = 4 | SplitLoRA, a step | FedLoRA, an average | ratio over 100 steps and one average |"
    yield "|---|---|---|---|"
    for size in MODELS:
        case = Case(size, 4)
        step = 2 * BATCH * TOKENS * case.split.shape.width * DTYPES["float32"].itemsize
        average = 2 * case.adapter_payload_bytes(case.whole)
        yield f"| GPT2-{size} | {step:,} | {average:,} | {100 * step / average:,.0f} |"


def splitft() -> Iterator[str]:
    """SplitFT: 100 transfers of one more block's adapters, r 16 on c_attn and the attention's c_proj."""
    lora = Lora(("c_attn", "attn.c_proj"), 16, ALPHA)
    specs = adapter_specs(range(1), lora.projections(shape_of("gpt2")), rank=16)
    block = sum(spec.size_bytes for spec in specs.values())
    yield "| one more client block | bytes of its adapters | 100 transfers | table: MB a block, cut 2, 4, 6, 8, 10 |"
    yield "|---|---|---|---|"
    steps = [
        (after - before) / 2
        for before, after in ((3475.4, 3534.4), (3534.4, 3593.4), (3593.4, 3652.4), (3652.4, 3711.4))
    ]
    yield f"| GPT2-S, r 16 | {block:,} | {100 * block / 1e6:.2f} MB | {', '.join(f'{step:.1f}' for step in steps)} |"


TABLES = {
    "Adapter parameters": parameters,
    "Messages": messages,
    "FLOPs": flops,
    "Traffic": traffic,
    "SplitFT": splitft,
}

if __name__ == "__main__":
    for title, table in TABLES.items():
        print(f"\n### {title}\n")
        print("\n".join(table()))
