"""What a model is asked to write: held-out prompts, each with all references that there are. Loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from simulator.sequences import Encoded, join
from simulator.training.plan import DataPlan
from simulator.training.sources import Source, held_out, reader, sources


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt, as in training, and what people have written behind it."""

    prompt: str
    references: tuple[str, ...]


def tasks(plan: DataPlan, seed: int, most: int, path: Path | None = None) -> list[Task]:
    """At most so many prompts of the held-out examples, in random order; examples of one prompt are its references.

    ``path`` is another file to take them from, such as the test set. Generated examples have one reference each.
    Raises ValueError for data without prompts.
    """
    if path is not None:
        if plan.source in {"generated", "datasets"}:
            raise ValueError(f"{path} cannot be read: data.source {plan.source} has no files")
        examples = reader(plan)(path)
        source = Source(iter(examples), str(path), len(examples))
    elif plan.partition == "files":
        source = held_out(plan, seed)
    else:
        source = sources(plan, seed)[1]
    found: dict[str, list[str]] = {}
    for example in islice(source.examples, most if source.size is None else source.size):
        if isinstance(example, Encoded):
            raise ValueError(f"{source.name} holds token ids, but text metrics compare texts; name a file of texts")
        prompt, reference = join(example)
        if not prompt:
            raise ValueError(
                f"{source.name} has a text without a prompt, so there is nothing that a text could be written for: "
                f"text metrics need E2E or generated data, or a data.prompt_field"
            )
        found.setdefault(prompt, []).append(reference.strip())
    return [Task(prompt, tuple(references)) for prompt, references in islice(found.items(), most)]
