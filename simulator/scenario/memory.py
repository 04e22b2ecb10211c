"""The ``memory`` section: how the simulated parties hold their part of the model.

It says nothing about how this machine trains; that is ``training``.
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from simulator.scenario.fields import Section, Switch, one_of

Dtype = Annotated[Literal["float32", "bfloat16"], BeforeValidator(one_of("dtype", ("float32", "bfloat16")))]
Kernel = Annotated[Literal["plain", "fused"], BeforeValidator(one_of("kernel", ("plain", "fused")))]


class Memory(Section):
    """How the parties hold their part."""

    dtype: Dtype = Field(default="float32", description="format of frozen weights and activations; adapters: float32")
    attention: Kernel = Field(default="plain", description="plain: the T x T matrices are kept; fused: they are not")
    gelu: Kernel = Field(default="plain", description="plain: Hugging Face's gelu_new; fused: one kernel")
    dropout: Switch = Field(default="on", description="on: masks are kept, as the published model's dropout needs")
    checkpointing: Switch = Field(default="off", description="on: devices keep block inputs and compute blocks anew")
