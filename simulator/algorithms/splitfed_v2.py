"""SplitFed V2 (Thapa et al., arXiv 2004.12088) with adapters: the server learns from one device after another.

Devices and aggregation server do what they do in `splitlora`. The server differs:

    a3  server      for each device in an order drawn for the round: forward and backward of S_i, R_s takes a step
    a4  server      dL/dS_i goes down to device i as soon as its turn is over

R_s is one set of adapters and is never averaged: it has taken N steps where SplitLoRA takes one. The paper has all
devices ready before the server begins, so here the barrier stays; `splitlora-queued` serves whoever comes.
"""

from __future__ import annotations

import asyncio

from simulator.algorithms.job import Job
from simulator.algorithms.splitlora import Cohorts, aggregator, device, one_by_one, server
from simulator.messages import Message
from simulator.streams import stream


def in_random_order(seed: int) -> Cohorts:
    """A server step for each device, in an order that depends on the seed, the round and who is there, on no clock."""

    def cohorts(round: int, uploads: list[Message]) -> list[list[Message]]:
        turns = one_by_one(round, uploads)
        return [turns[place] for place in stream(seed, "splitfed-v2", round).permutation(len(turns))]

    return cohorts


async def train(job: Job) -> None:
    """Run all parties to the end of the last round."""
    async with asyncio.TaskGroup() as parties:
        parties.create_task(server(job.server, job, in_random_order(job.seed)), name=job.server.name)
        parties.create_task(aggregator(job.aggregator, job), name=job.aggregator.name)
        job.attendance.start(lambda each, first: parties.create_task(device(each, job, first), name=each.name))
