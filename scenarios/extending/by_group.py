"""Draw as many devices from every group as its share of the fleet, whichever they are in the group.

Drawn at random, a round of few devices may have nobody of a small group; drawn by speed, it has nobody of a slow one.
"""

import numpy as np


def select(round, population, rng):
    """Everybody at an even distance in the order of its group: the first of a group of ten at 1/20, then at 3/20."""
    at = np.empty(population.size)
    for members in population.groups.values():
        at[members.start : members.stop] = rng.permutation(len(members)) + 0.5
        at[members.start : members.stop] /= len(members)
    return np.lexsort((rng.random(population.size), at))
