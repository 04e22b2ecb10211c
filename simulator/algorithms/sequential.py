"""Vanilla split learning (Gupta and Raskar, arXiv 1810.06060; Vepakomma et al., arXiv 1812.00564) with adapters.

One device after another learns with the server, and hands its adapters on. In a round each device that is there has one
turn, in the order of the fleet:

    c1  relay       R goes down to device i
    a1  device      S_i = blocks[0:k](x_i; R)
    a2  device      S_i and the labels y_i go up to the server
    a3  server      forward and backward of S_i; R_s takes a step
    a4  server      dL/dS_i goes down to device i
    a5  device      backward through its blocks; R takes a step
    c2  device      R goes up to the relay, which acknowledges it and begins the next turn

The relay is the aggregation server: phones cannot reach each other. Nothing is averaged, so there is one set of
adapters, and it takes N steps a round. (Where splits differ, a block between them has one set that goes round and one
at the server.) A turn is one batch; papers also let it be an epoch. A device that goes in its turn takes its step with
it; the next one begins with the adapters from before. Each device has the moments of its own earlier turns
(``training.moments: average`` hands them on with the adapters, which weighs nothing here).
"""

from __future__ import annotations

import asyncio
from typing import Final

from simulator.actors import Actor, Device, Server
from simulator.algorithms.job import Job
from simulator.algorithms.splitlora import addressed, batches
from simulator.messages import frame_bytes

RECEIPT_BYTES: Final = frame_bytes("control", {})


async def device(me: Device, job: Job, first: int) -> None:
    """One client, from the round in which it joins: its turns."""
    for round in job.attendance.rounds(me, first):
        await me.receive("adapter")  # c1
        job.numerics.adopt(me.index)
        ticket = job.numerics.forward(me.index, round)
        step = me.costs_of(ticket)
        await me.compute("client forward", round, step.client_forward)  # a1
        me.post(job.server.name, "activations", round, step.activation_bytes, ticket)  # a2
        await me.receive("gradients")  # a4
        await me.compute("client backward", round, step.client_backward)  # a5
        job.numerics.backward(ticket)
        me.post(job.aggregator.name, "adapter", round, me.costs.adapter_bytes)  # c2
        await me.receive("control")


async def server(me: Server, job: Job) -> None:
    """The central server: a3 and a4 for whoever has its turn."""
    for round in job.rounds.schedule:
        async for upload in job.attendance.arrivals(me, "activations", round):
            await me.step(round, batches(job, [upload.payload]))  # a3
            for each in job.attendance.still_there(round, [upload]):
                job.rounds.trained(round, job.numerics.server_step([each.payload]))
                ((to, step),) = addressed(job, [each.payload])
                me.post(to.name, "gradients", round, step.gradient_bytes)  # a4


async def relay(me: Actor, job: Job) -> None:
    """The aggregation server: c1, then waits for c2, for one device after another."""
    for round in job.rounds.schedule:
        for to in await job.attendance.members(round):
            await me.send(to.name, "adapter", round, to.costs.adapter_bytes)  # c1
            if await job.attendance.answer(me, "adapter", round, to):  # c2
                job.numerics.aggregate([to.index], [1.0])
                me.post(to.name, "control", round, RECEIPT_BYTES)


async def train(job: Job) -> None:
    """Run all parties to the end of the last round."""
    async with asyncio.TaskGroup() as parties:
        parties.create_task(server(job.server, job), name=job.server.name)
        parties.create_task(relay(job.aggregator, job), name=job.aggregator.name)
        job.attendance.start(lambda each, first: parties.create_task(device(each, job, first), name=each.name))
