"""Centralised training (CenLoRA of the SplitLoRA authors): the data are collected once, the server trains on them.

    d1  device      its examples go up to the server: token ids and labels, as long as a training sequence each; the
                    server acknowledges them
    d2  server      every round: forward and backward of the batches that the devices would have taken; R takes a step

Who is there when the first round opens takes part, and only then: a device that goes while its data are under way is
left out, and one that comes later is not waited for. A round's batch is that of `splitlora`'s concatenated one, so the
two see the same tokens. What the devices keep to themselves elsewhere is given away here: privacy has no price in it.
"""

from __future__ import annotations

import asyncio

from simulator.actors import Device, Server
from simulator.algorithms.job import Job
from simulator.algorithms.sequential import RECEIPT_BYTES
from simulator.algorithms.splitlora import batches
from simulator.failure import RunFailed
from simulator.workload import ServerWorkload


async def device(me: Device, job: Job, first: int) -> None:
    """One device: d1, and it is done when the server has its data."""
    for round in job.attendance.rounds(me, first):
        assert isinstance(me.costs, ServerWorkload)
        size_bytes = me.costs.data_bytes(job.samples[me.index])
        me.post(job.server.name, "data", round, size_bytes, me.index)  # d1
        await me.receive("control")


async def server(me: Server, job: Job) -> None:
    """The server: collects the data of all who are there, then d2 to the last round."""
    holders: list[int] = []
    async for upload in job.attendance.arrivals(me, "data", 1):
        holders.append(upload.payload)
        me.post(upload.sender, "control", 1, RECEIPT_BYTES)
    if not holders:
        raise RunFailed("every device went before its data had arrived: there is nothing to train on")
    for round in job.rounds.schedule:
        tickets = [job.numerics.forward(index, round) for index in sorted(holders)]
        await me.step(round, batches(job, tickets))  # d2
        job.rounds.trained(round, job.numerics.server_step(tickets))
        if round == 1:
            job.attendance.end_first(me)
        else:
            job.rounds.close(round, len(holders), 0, me.name, asyncio.get_running_loop().time())


async def train(job: Job) -> None:
    """Run all parties to the end of the last round; the devices' part is over with the first one."""
    async with asyncio.TaskGroup() as parties:
        parties.create_task(server(job.server, job), name=job.server.name)
        job.attendance.start(
            lambda each, first: parties.create_task(device(each, job, first), name=each.name), only_first=True
        )
