"""The scenario file: YAML with units, read with positions into frozen models, refused with one sentence per problem."""

from simulator.scenario.algorithms import ALGORITHMS
from simulator.scenario.availability import Availability, Charging
from simulator.scenario.errors import Problem, ScenarioError
from simulator.scenario.groups import Group
from simulator.scenario.loader import Template, load, loads, written_at
from simulator.scenario.model import Scenario, Server
from simulator.scenario.network import Access, Cell, Pair, Wireless
from simulator.scenario.overrides import Setting
from simulator.scenario.study import Study
from simulator.scenario.writer import dump

__all__ = [
    "ALGORITHMS",
    "Access",
    "Availability",
    "Cell",
    "Charging",
    "Group",
    "Pair",
    "Problem",
    "Scenario",
    "ScenarioError",
    "Server",
    "Setting",
    "Study",
    "Template",
    "Wireless",
    "dump",
    "load",
    "loads",
    "written_at",
]
