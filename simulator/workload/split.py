"""One device's step, and its server's part of it, as work, messages and memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, NamedTuple, Self

from devices.compute import Work
from simulator.messages import Spec, activations_specs, adapter_specs, frame_bytes, gradients_specs
from simulator.workload import flops
from simulator.workload.lora import Lora
from simulator.workload.memory import FLOAT_BYTES, client_memory, saved_activation_bytes, server_memory
from simulator.workload.shapes import ModelShape
from simulator.workload.storage import PLAIN, Storage

BLOCK_FORWARD_KERNELS: Final = 21
BLOCK_BACKWARD_KERNELS: Final = 27
"""Kernel launches of a Hugging Face GPT-2 block with PEFT LoRA on c_attn, fused attention and no dropout: operators
counted with torch's dispatcher, views excluded. A whole step of 12 blocks makes 601. Taken for every choice of targets
(each further adapter adds about 4 and 6); fused GELU saves 7 and 10, plain attention adds 7 and 8, dropout some 15."""

HEAD_KERNELS: Final = 4
"""Launches of the last norm, the head and the loss, in either direction."""

EMBEDDING_KERNELS: Final = 3


class ParameterCounts(NamedTuple):
    """Adapter parameters on each side of the cut."""

    client: int
    server: int


class _Traffic(NamedTuple):
    """Bytes moved in one direction of a pass: weights are read once however large the batch is."""

    weights: int
    activations: int


@dataclass(frozen=True)
class SplitWorkload:
    """A step of one device: ``batch`` sequences of ``tokens`` positions, cut after ``split`` of the model's blocks.

    Work is (FLOPs, bytes moved, kernel launches, positions of a pass). FLOPs are exact counts of matrix products
    (`flops`). Bytes moved in one direction are the frozen weights once plus the saved activations once (written
    forward, read backward), in the format of ``storage``: an estimate, good to tens of per cent. With 64 tokens or more
    it leaves GPT-2 blocks above 25 FLOPs a byte, compute-bound on CPUs. The optimizer's step is left out of all three:
    it touches adapters only.

    With ``split`` 0 the device only embeds: it has no adapter, gets no gradient, and the server's part is the whole
    model's work, also that of an unsplit one. With ``split`` L the server keeps the last norm and the head, and no
    adapter. ``head_positions`` says at how many positions of the batch the server computes logits; None is all, as
    published.

    Raises ValueError for a split outside 0..L, an empty or too long batch, or head positions outside 1..b T.
    """

    shape: ModelShape
    lora: Lora
    split: int
    batch: int
    tokens: int
    head_positions: int | None = None
    storage: Storage = PLAIN

    def __post_init__(self) -> None:
        blocks = self.shape.num_blocks
        if not 0 <= self.split <= blocks:
            raise ValueError(f"split must be in 0..{blocks} for {self.shape.name} ({blocks} blocks), got {self.split}")
        if self.batch < 1 or not 1 <= self.tokens <= self.shape.num_positions:
            raise ValueError(
                f"a batch needs at least one sequence of 1..{self.shape.num_positions} positions, "
                f"got {self.batch} x {self.tokens}"
            )
        if self.head_positions is not None and not 1 <= self.head_positions <= self.positions:
            raise ValueError(f"head_positions must be in 1..{self.positions} or None, got {self.head_positions}")

    def of_length(self, tokens: int) -> Self:
        """The same with sequences of so many positions; equal ones are made once, as their costs take time to work out.

        Raises ValueError for a length that the model has no room for.
        """
        if tokens == self.tokens:
            return self
        if tokens not in self._of_length:
            self._of_length[tokens] = replace(self, tokens=tokens)
        return self._of_length[tokens]

    @cached_property
    def _of_length(self) -> dict[int, Self]:
        return {}

    @property
    def positions(self) -> int:
        """Positions b T of the batch, padding included."""
        return self.batch * self.tokens

    @cached_property
    def client_forward(self) -> Work:
        """Embedding and the device's blocks, forward."""
        kernels = EMBEDDING_KERNELS + BLOCK_FORWARD_KERNELS * self.split
        return self._work(self._forward_flops(self.split), self._device_traffic, kernels)

    @cached_property
    def client_backward(self) -> Work:
        """The device's blocks, backward, from the gradient at the cut; nothing when the device has no block.

        With checkpointing every block is computed forward once more.
        """
        if not self.split:
            return Work(0.0, 0.0)
        kernels = BLOCK_BACKWARD_KERNELS * self.split
        backward = self._work(self._backward_flops(0, self.split), self._device_traffic, kernels)
        return backward + self.client_forward if self.storage.checkpointing else backward

    @cached_property
    def server_forward(self) -> Work:
        """The server's blocks and the head, forward, for this device's batch alone."""
        kernels = HEAD_KERNELS + BLOCK_FORWARD_KERNELS * self._server_blocks
        return self._work(self._forward_flops(self._server_blocks) + self._head_flops, self._server_traffic, kernels)

    @cached_property
    def server_backward(self) -> Work:
        """Head and the server's blocks, backward, down to the gradient at the cut."""
        operations = self._backward_flops(self.split, self.shape.num_blocks) + self._head_flops
        kernels = HEAD_KERNELS + BLOCK_BACKWARD_KERNELS * self._server_blocks
        return self._work(operations, self._server_traffic, kernels)

    @cached_property
    def activation_bytes(self) -> int:
        """Frame of an upload: activations at the cut and labels."""
        specs = activations_specs(self.batch, self.tokens, width=self.shape.width, vocab_size=self.shape.vocab_size)
        return frame_bytes("activations", specs)

    @cached_property
    def gradient_bytes(self) -> int:
        """Frame of the reply; empty but for its header where no block, so no adapter, is on the device."""
        specs: Mapping[str, Spec] = {}
        if self.split:
            specs = gradients_specs(self.batch, self.tokens, width=self.shape.width)
        return frame_bytes("gradients", specs)

    @cached_property
    def adapter_bytes(self) -> int:
        """Frame of the device's adapters, up or down."""
        specs = adapter_specs(range(self.split), self.lora.projections(self.shape), rank=self.lora.rank)
        return frame_bytes("adapter", specs)

    @property
    def client_memory(self) -> dict[str, int]:
        """Parts of the device's peak memory in bytes; see `memory.client_memory`."""
        return client_memory(
            self.shape, self.lora, split=self.split, batch=self.batch, tokens=self.tokens, storage=self.storage
        )

    @property
    def server_memory(self) -> dict[str, int]:
        """Parts of the server's least peak memory in bytes; see `memory.server_memory`."""
        return server_memory(
            self.shape, self.lora, split=self.split, batch=self.batch, tokens=self.tokens, storage=self._server_storage
        )

    @cached_property
    def parameter_counts(self) -> ParameterCounts:
        """Adapter parameters of the device and of the server."""
        block = self.lora.block_parameters(self.shape)
        return ParameterCounts(block * self.split, block * self._server_blocks)

    @property
    def _server_storage(self) -> Storage:
        """The server runs the same kernels, but has the memory to keep what it will need again."""
        return replace(self.storage, checkpointing=False)

    @property
    def _server_blocks(self) -> int:
        return self.shape.num_blocks - self.split

    def _forward_flops(self, blocks: int) -> int:
        return blocks * self.positions * flops.block_forward(self.shape, self.lora, self.tokens)

    def _backward_flops(self, start: int, stop: int) -> int:
        return self.positions * sum(
            flops.block_backward(self.shape, self.lora, self.tokens, first=block == 0) for block in range(start, stop)
        )

    @property
    def _head_flops(self) -> int:
        return self._head_positions * flops.head(self.shape)

    @property
    def _head_positions(self) -> int:
        return self.positions if self.head_positions is None else self.head_positions

    @property
    def _device_traffic(self) -> _Traffic:
        embedded = 2 * self.storage.element_bytes * self.positions * self.shape.width
        return _Traffic(self._weights(self.split), embedded + self._saved(self.split))

    @cached_property
    def _server_traffic(self) -> _Traffic:
        head = self.storage.element_bytes * self.shape.vocab_size * self.shape.width
        logits = self.storage.element_bytes * self._head_positions * self.shape.vocab_size
        return _Traffic(self._weights(self._server_blocks) + head, self._saved(self._server_blocks) + logits)

    def _weights(self, blocks: int) -> int:
        return self.storage.element_bytes * self.shape.block_parameters * blocks

    def _saved(self, blocks: int) -> int:
        """What is written forward and read backward; a checkpointed block writes it while it is computed anew."""
        return saved_activation_bytes(self.shape, self.lora, self.batch, self.tokens, self._server_storage) * blocks

    def _work(self, operations: int, traffic: _Traffic, kernels: int) -> Work:
        return Work(float(operations), float(traffic.weights + traffic.activations), kernels, self.positions)


def server_work(workloads: Sequence[SplitWorkload]) -> Work:
    """Forward and backward of the concatenated batch of several devices at the server, and its adapters' update.

    FLOPs, activations and tokens add up; weights are read, and kernels launched, once for all: as often as the deepest
    server part needs. The update of the adapters is below 0.1 % of a step and not counted.
    """
    operations = sum(each.server_forward.flops + each.server_backward.flops for each in workloads)
    activations = sum(each._server_traffic.activations for each in workloads)
    weights = max(each._server_traffic.weights for each in workloads)
    kernels = max(each.server_forward.kernels + each.server_backward.kernels for each in workloads)
    return Work(operations, float(2 * (activations + weights)), kernels, sum(each.positions for each in workloads))


def aggregation_work(workloads: Sequence[SplitWorkload]) -> Work:
    """Weighted mean of the devices' adapters: read every one, multiply and add, write the mean."""
    return _mean_work([each.parameter_counts.client for each in workloads])


def server_aggregation_work(workloads: Sequence[SplitWorkload]) -> Work:
    """Weighted mean of the server's adapters where it has a copy of them for each of these devices."""
    return _mean_work([each.parameter_counts.server for each in workloads])


def _mean_work(parameters: Sequence[int]) -> Work:
    return Work(2.0 * sum(parameters), float(FLOAT_BYTES * (sum(parameters) + max(parameters))), kernels=1)
