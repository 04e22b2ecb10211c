"""A device's step where one party holds the whole model: the device (federated), or the server (centralised).

Both are a `SplitWorkload` at the last or first split point, with what belongs to the other party put together with it.
"""

from __future__ import annotations

from functools import cached_property

from devices.compute import Work
from simulator.messages import data_specs, frame_bytes
from simulator.workload.memory import RUNTIME_BYTES
from simulator.workload.split import EMBEDDING_KERNELS, SplitWorkload

NOTHING = Work(0.0, 0.0)


class _Uncut(SplitWorkload):
    """Nothing crosses a cut."""

    @cached_property
    def activation_bytes(self) -> int:
        """Nothing is sent up in a step."""
        return 0

    @cached_property
    def gradient_bytes(self) -> int:
        """Nothing comes down in a step."""
        return 0


class DeviceWorkload(_Uncut):
    """The whole model on the device, head and loss included; ``split`` is the number of blocks.

    The head's weights are those of the embedding (GPT-2 ties them), so they are held once.
    """

    @cached_property
    def client_forward(self) -> Work:
        """Embedding, all blocks and the head, forward."""
        return super().client_forward + super().server_forward

    @cached_property
    def client_backward(self) -> Work:
        """Head and blocks, backward; with checkpointing every block is computed forward once more."""
        return super().server_backward + super().client_backward

    @cached_property
    def server_forward(self) -> Work:
        """Nothing is left to the server."""
        return NOTHING

    @cached_property
    def server_backward(self) -> Work:
        """Nothing is left to the server."""
        return NOTHING

    @property
    def client_memory(self) -> dict[str, int]:
        """As for a split, with the logits and their gradient, and no messages of activations."""
        need = super().client_memory
        del need["message buffers"]
        return {**need, "logits": super().server_memory["logits"]}

    @property
    def server_memory(self) -> dict[str, int]:
        """Nothing is held by the server."""
        return {"runtime": RUNTIME_BYTES}


class ServerWorkload(_Uncut):
    """The whole model at the server, for the batch of one device's data; ``split`` is 0."""

    @cached_property
    def client_forward(self) -> Work:
        """Devices compute nothing."""
        return NOTHING

    @cached_property
    def client_backward(self) -> Work:
        """Devices compute nothing."""
        return NOTHING

    @cached_property
    def server_forward(self) -> Work:
        """Embedding, all blocks and the head, forward."""
        return super().server_forward + Work(0.0, 0.0, EMBEDDING_KERNELS)

    @property
    def client_memory(self) -> dict[str, int]:
        """Devices hold nothing but their data."""
        return {"runtime": 0}

    @property
    def server_memory(self) -> dict[str, int]:
        """As for a split, with the rest of the embedding (positions; the head is the tokens') and without messages."""
        need = super().server_memory
        del need["message buffers"]
        rest = self.shape.embedding_parameters - self.shape.vocab_size * self.shape.width
        return {**need, "embeddings": self.storage.element_bytes * rest}

    def data_bytes(self, samples: int) -> int:
        """Frame of a device's examples, token ids and labels of ``tokens`` positions each, as they are collected."""
        return frame_bytes("data", data_specs(samples, self.tokens, vocab_size=self.shape.vocab_size))
