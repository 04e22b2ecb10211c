"""What is wrong with a scenario, and where."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]


def path_text(path: KeyPath) -> str:
    """Write a key path as people do: ``devices[1].access``."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a scenario."""

    file: str  # as the user wrote it, or "--set key=value"
    line: int | None  # from 1; None for an override, and for a file that could not be read
    key_path: str  # such as devices[1].access; empty for the file as a whole
    message: str  # one sentence: what was given, what is allowed, a guess
    of_key: bool = False  # there is no such key or entry, whatever its value

    def __str__(self) -> str:
        """One line, as compilers write it."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        text = ": ".join(part for part in (place, self.key_path, self.message) if part)
        return " ".join(text.splitlines())


class ScenarioError(ValueError):
    """A scenario was refused; ``problems`` holds everything that was found, those of the file first, by line."""

    problems: list[Problem]

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: math.inf if problem.line is None else problem.line)
        super().__init__(self.problems)

    def __str__(self) -> str:
        """One line for each problem."""
        return "\n".join(map(str, self.problems))
