"""What a split GPT-2 with LoRA costs: FLOPs, memory traffic, launches, memory and message sizes, from its config alone.

``shapes`` knows the models, ``lora`` the adapters, ``flops`` counts matrix products, ``memory`` counts bytes, and
``split`` puts them together as a ``SplitWorkload``. Nothing here loads torch or weights.
"""

from simulator.workload.lora import TARGETS, Lora, in_order
from simulator.workload.memory import RUNTIME_BYTES, client_memory, saved_activation_bytes, server_memory
from simulator.workload.outline import ALL_TARGETS, TARGETS_OF, Outline, outline_of, timed_targets
from simulator.workload.shapes import SHAPES, ModelShape, shape_from_config, shape_of
from simulator.workload.split import (
    ParameterCounts,
    SplitWorkload,
    aggregation_work,
    server_aggregation_work,
    server_work,
)
from simulator.workload.storage import PLAIN, Storage
from simulator.workload.whole import DeviceWorkload, ServerWorkload

__all__ = [
    "ALL_TARGETS",
    "PLAIN",
    "RUNTIME_BYTES",
    "SHAPES",
    "TARGETS",
    "TARGETS_OF",
    "DeviceWorkload",
    "Lora",
    "ModelShape",
    "Outline",
    "ParameterCounts",
    "ServerWorkload",
    "SplitWorkload",
    "Storage",
    "aggregation_work",
    "client_memory",
    "in_order",
    "outline_of",
    "saved_activation_bytes",
    "server_aggregation_work",
    "server_memory",
    "server_work",
    "shape_from_config",
    "shape_of",
    "timed_targets",
]
