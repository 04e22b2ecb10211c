"""The section ``data``: what is learnt, how it is spread over the devices, and what its keys demand of one another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import BeforeValidator, Field, ValidationInfo

from simulator.scenario.fields import (
    Count,
    ExistingPath,
    NonNegative,
    Positive,
    Section,
    Text,
    one_of,
    surroundings,
    to_number,
    to_text,
)
from simulator.scenario.paths import find_path

if TYPE_CHECKING:
    from simulator.scenario.checks import Lenient, Unmet

SOURCES: Final = ("generated", "e2e", "text", "jsonl", "datasets")
PARTITIONS: Final = ("iid", "dirichlet", "length", "quantity", "files")
PADDINGS: Final = ("fixed", "longest", "pack")

Source = Annotated[Literal["generated", "e2e", "text", "jsonl", "datasets"], BeforeValidator(one_of("source", SOURCES))]
Partition = Annotated[
    Literal["iid", "dirichlet", "length", "quantity", "files"], BeforeValidator(one_of("partition", PARTITIONS))
]
Labels = Annotated[Literal["all", "reference"], BeforeValidator(one_of("labels", ("all", "reference")))]
Padding = Annotated[Literal["fixed", "longest", "pack"], BeforeValidator(one_of("padding", PADDINGS))]


def dataset_name(value: object, info: ValidationInfo) -> str:
    """An existing file or folder as an absolute path, else a name of the hub, which is not looked up."""
    text = to_text(value)
    path = find_path(text, surroundings(info).base_folder)
    return text if path is None else str(path)


DatasetName = Annotated[str, BeforeValidator(dataset_name)]


class Data(Section):
    """What is learnt, and how it is spread over the devices."""

    source: Source = Field(
        default="generated",
        description="generated restaurant sentences, e2e (files of that data set), text, jsonl, or datasets (by name)",
    )
    path: ExistingPath | None = Field(
        default=None,
        description="e2e, text, jsonl: folder with train and valid files, or a file; needed there, unread otherwise",
    )
    validation_path: ExistingPath | None = Field(
        default=None, description="e2e, text, jsonl: validation file, where path is a file"
    )
    dataset: DatasetName | None = Field(
        default=None, description="datasets: name on the Hugging Face hub, or a local file or folder"
    )
    config: Text | None = Field(default=None, description="datasets: name of its configuration; null: its only one")
    prompt_field: Text | None = Field(
        default=None, description="jsonl, datasets: the field that comes first and is not learnt; null: none"
    )
    text_field: Text | None = Field(default=None, description="jsonl, datasets: the field that is learnt; null: text")
    samples_per_device: Count = Field(default=64, description="training examples on an average device")
    validation_samples: Count = Field(default=256, description="validation examples")
    partition: Partition = Field(
        default="dirichlet",
        description="how examples are dealt out: iid, dirichlet (over a slot), length (dirichlet over how long they "
        "are), quantity (dirichlet over how many a device has), files (a file for each device)",
    )
    alpha: Positive = Field(default=0.5, description="concentration of the Dirichlet partitions; small is far from IID")
    slot: Text = Field(
        default="food", description="the slot of the meaning representation, or the field, that is not IID"
    )
    size_spread: NonNegative = Field(default=0.0, description="lognormal sigma of the number of examples per device")
    labels: Labels = Field(default="reference", description="positions in the loss: all, or the reference text only")
    padding: Padding = Field(
        default="fixed",
        description="fixed: an example is a sequence of training.tokens positions; longest: a batch is cut to its "
        "longest sequence; pack: a device's examples one after another fill sequences of training.tokens",
    )


READ_BY: Final[dict[str, tuple[str, ...]]] = {
    "dataset": ("datasets",),
    "config": ("datasets",),
    "prompt_field": ("jsonl", "datasets"),
    "text_field": ("jsonl", "datasets"),
}
"""Keys that other sources would silently leave alone."""

FILES: Final = {
    "e2e": "a folder with train and valid files, or a file",
    "text": "a folder of .txt files, or a file",
    "jsonl": "a folder of .jsonl files, or a file",
}


def data_findings(scenario: Lenient, base_folder: Path) -> Iterator[Unmet]:
    """Everything in the section that does not fit together."""

    def word(key: str, default: str) -> str | None:
        return scenario.read(to_text, "data", key, default=default)

    source, partition = word("source", "generated"), word("partition", "dirichlet")
    if source in FILES and scenario.at("data", "path") is None:
        yield ("data", "path"), f"missing: source '{source}' needs {FILES[source]}"
    if source == "datasets" and scenario.at("data", "dataset") is None:
        yield ("data", "dataset"), "missing: source 'datasets' needs a name on the hub, or a local file or folder"
    for key, owners in READ_BY.items():
        if source in SOURCES and source not in owners and scenario.at("data", key) is not None:
            yield ("data", key), f"is read only with source: {' or '.join(owners)}; the source is {source}"
    if source == "text" and partition == "dirichlet":
        yield (
            ("data", "partition"),
            "dirichlet needs a slot that differs from example to example, and plain text has none; "
            "allowed with source: text: iid, length, quantity, files",
        )
    if partition == "files":
        yield from _a_file_each(scenario, source, base_folder)
    spread = scenario.read(to_number, "data", "size_spread", default=0.0)
    if spread and partition in {"quantity", "files"}:
        yield ("data", "size_spread"), f"is not read with partition: {partition}, which says how much each device has"


def _a_file_each(scenario: Lenient, source: str | None, base_folder: Path) -> Iterator[Unmet]:
    if source in SOURCES and source not in FILES:
        yield (
            ("data", "partition"),
            f"files needs one file for each device, and source {source} has none; allowed: source {', '.join(FILES)}",
        )
        return
    name = scenario.read(to_text, "data", "path")
    path = None if name is None else find_path(name, base_folder)
    if path is not None and path.is_file():
        yield ("data", "path"), f"must be a folder with a file for each device (partition: files), got the file {name}"
