"""One example, data to text or plain text, and how it becomes one training sequence.

The form is that of the E2E NLG challenge files (Novikova et al., SIGDIAL 2017)::

    name : The Copper Heron | type : pub | food : pies||The Copper Heron is a pub that serves pies.

A training sequence is ``prompt + reference`` and then the tokenizer's end-of-text token, where `join` gives the two
strings: the prompt ends with the separator, the reference begins with one space. Labels are the tokens of the
reference and the end-of-text token; the prompt is context only.
"""

from dataclasses import dataclass
from typing import Final

SEPARATOR: Final = "||"
END_OF_TEXT: Final = "<|endoftext|>"
_SLOT_JOIN: Final = " | "
_VALUE_JOIN: Final = " : "


@dataclass(frozen=True, slots=True)
class Example:
    """Facts about one place and a text that says them; ``slots`` are (key, value) pairs in the order of the context."""

    slots: tuple[tuple[str, str], ...]
    text: str

    @property
    def context(self) -> str:
        """The facts on one line: ``name : X | food : Y``."""
        return _SLOT_JOIN.join(f"{key}{_VALUE_JOIN}{value}" for key, value in self.slots)

    def value(self, key: str) -> str | None:
        """The value of one slot; None where this example does not mention it."""
        return dict(self.slots).get(key)

    @property
    def line(self) -> str:
        """The example as one line of a data file: context, separator, text."""
        return f"{self.context}{SEPARATOR}{self.text}"


@dataclass(frozen=True, slots=True)
class Passage:
    """Any text, alone or behind a prompt; ``slots`` are (key, value) pairs of what else is known of it (a topic)."""

    prompt: str
    text: str
    slots: tuple[tuple[str, str], ...] = ()

    def value(self, key: str) -> str | None:
        """The value of one slot; None where this passage has no such."""
        return dict(self.slots).get(key)


@dataclass(frozen=True, slots=True)
class Encoded:
    """An example as token ids of some tokenizer: what comes first, separator included, and the text, end included."""

    prompt: tuple[int, ...]
    text: tuple[int, ...]
    slots: tuple[tuple[str, str], ...] = ()

    def value(self, key: str) -> None:
        """Ids say nothing about what they mean."""


def join(example: Example | Passage) -> tuple[str, str]:
    """``(prompt, reference)``: two strings that tokenize apart and together alike; append end-of-text after them.

    A passage's prompt is followed by one space, unless it ends with a line break or there is none.
    """
    if isinstance(example, Example):
        return f"{example.context} {SEPARATOR}", f" {example.text.strip()}"
    prompt = example.prompt.rstrip(" ")
    return prompt, example.text.strip() if not prompt or prompt[-1].isspace() else f" {example.text.strip()}"


def parse(line: str) -> Example:
    """The example on one line of a data file.

    Raises ValueError where the separator is missing or a slot has no value.
    """
    context, separator, text = line.partition(SEPARATOR)
    if not separator:
        raise ValueError(f"a line must be 'slots{SEPARATOR}text', got {line[:60]!r}")
    slots = []
    for part in context.split(_SLOT_JOIN):
        key, colon, value = part.partition(_VALUE_JOIN)
        if not colon or not value.strip():
            raise ValueError(f"a slot must be 'key{_VALUE_JOIN}value', got {part!r}")
        slots.append((key.strip(), value.strip()))
    return Example(tuple(slots), text.strip())
