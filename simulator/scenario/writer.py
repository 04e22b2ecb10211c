"""A scenario as YAML text: every default filled in, units in the values, exact to the last bit."""

import io
from typing import Final

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from simulator.scenario.model import Scenario

ALTERNATIVES: Final = frozenset(  # of these, what is null was not chosen
    {
        "capacity",
        "up",
        "down",
        "latency",
        "count",
        "share",
        "class",
        "vary",
        "trace",
        "offset",
        "wireless",
        "airtime",
        "study",
    }
)


class _Representer(RoundTripRepresenter):
    """Writes null as a word; ruamel leaves the value out."""


def _null(representer: _Representer, _: None) -> ScalarNode:
    node: ScalarNode = representer.represent_scalar("tag:yaml.org,2002:null", "null")
    return node


_Representer.add_representer(type(None), _null)


def dump(scenario: Scenario) -> str:
    """Write the resolved scenario; ``loads(dump(scenario)) == scenario``. Paths are absolute, comments are lost."""
    yaml = YAML()
    yaml.Representer = _Representer
    yaml.width = 1 << 20  # no folded lines
    yaml.indent(mapping=2, sequence=4, offset=2)
    text = io.StringIO()
    yaml.dump(_styled(scenario.model_dump(mode="json", by_alias=True)), text)
    return text.getvalue()


def _styled(value: object) -> object:
    """Mappings in blocks; lists of plain values in one line."""
    if isinstance(value, dict):
        kept = {key: part for key, part in value.items() if part is not None or key not in ALTERNATIVES}
        return CommentedMap((key, _styled(part)) for key, part in kept.items())
    if isinstance(value, list):
        items = CommentedSeq(map(_styled, value))
        if not any(isinstance(item, CommentedMap) for item in items):
            items.fa.set_flow_style()
        return items
    if isinstance(value, str) and not value.isprintable():
        return DoubleQuotedScalarString(value)  # written with escapes; other styles lose some line breaks
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value
