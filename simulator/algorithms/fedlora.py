"""FedLoRA: federated averaging (McMahan et al., arXiv 1602.05629) of adapters of a whole, frozen model.

Every device holds the whole model with adapters R_i in all its blocks. A round:

    a1  device      forward and backward of its batch through the whole model; R_i takes a step

and after every I rounds, as in `splitlora`

    b1  device      R_i goes up to the aggregation server
    b2  aggregator  R = sum_i w_i R_i / sum_i w_i, A and B separately
    b3  aggregator  R goes down to every device

So I is the number of local steps between two averages. There is no barrier within a round: a device goes on with its
next step at once, and waits only where adapters are averaged. The server has nothing to do.
"""

from __future__ import annotations

import asyncio

from simulator.actors import Device
from simulator.algorithms.job import Job
from simulator.algorithms.splitlora import aggregator, catch_up
from simulator.numerics import Ticket


def learn(job: Job, ticket: Ticket) -> None:
    """The device's own copy of the whole model takes a step."""
    job.rounds.trained(ticket.round, job.numerics.local_step(ticket))


async def device(me: Device, job: Job, first: int) -> None:
    """One client, from the round in which it joins: rounds of a1 and, when due, b1 and b3."""
    await catch_up(me, job, first)
    for round in job.attendance.rounds(me, first):
        ticket = job.numerics.forward(me.index, round)
        step = me.costs_of(ticket)
        await me.compute("client forward", round, step.client_forward)
        await me.compute("client backward", round, step.client_backward)
        learn(job, ticket)  # a1
        if job.rounds.schedule.aggregates_after(round):
            me.post(job.aggregator.name, "adapter", round, me.costs.adapter_bytes, me.index)  # b1
            await me.receive("adapter")  # b3


async def train(job: Job) -> None:
    """Run all parties to the end of the last round; nobody but the devices is busy in a round without an average."""
    async with asyncio.TaskGroup() as parties:
        parties.create_task(aggregator(job.aggregator, job), name=job.aggregator.name)
        parties.create_task(job.attendance.over(), name="rounds")
        job.attendance.start(lambda each, first: parties.create_task(device(each, job, first), name=each.name))
