"""SplitFed V1 (Thapa et al., arXiv 2004.12088) with adapters: a copy of the server's side for each device.

The messages are those of `splitlora`. What is learned differs:

    a3  server      forward and backward of each S_i through adapters R_s,i of its own; R_s,i takes a step, all in one
                    pass on the GPUs, as the frozen weights are the same
    b2' server      after every I rounds also R_s = sum_i w_i R_s,i / sum_i w_i, while b1 to b3 average the devices'

So a device and its copy at the server are one model that nobody else touches until it is averaged, cut somewhere: it is
trained as such once the gradients are back on the device (`local_step`), and what is learned is what `fedlora` learns.
The copy of a device that goes is dropped with its adapters. Who counts in b2' is who counts in b2, although the two
servers would have to tell each other: that message is not modelled.
"""

from __future__ import annotations

import asyncio
from functools import partial

from simulator.actors import Server
from simulator.algorithms.fedlora import learn
from simulator.algorithms.job import Job
from simulator.algorithms.splitlora import addressed, aggregator, batches, device
from simulator.workload import server_aggregation_work


async def server(me: Server, job: Job) -> None:
    """The central server: waits for the activations of all who are there (the barrier), a3, a4 and, when due, b2'."""
    for round in job.rounds.schedule:
        uploads = await job.attendance.gather(me, "activations", round)
        steps = batches(job, (upload.payload for upload in uploads))
        if uploads:
            await me.step(round, steps)  # a3
        for to, step in addressed(job, (each.payload for each in job.attendance.still_there(round, uploads))):
            me.post(to.name, "gradients", round, step.gradient_bytes)  # a4
        if uploads and job.rounds.schedule.aggregates_after(round):
            await me.compute("server adapter averaging", round, server_aggregation_work(steps))  # b2'


async def train(job: Job) -> None:
    """Run all parties to the end of the last round."""
    client = partial(device, update=learn)
    async with asyncio.TaskGroup() as parties:
        parties.create_task(server(job.server, job), name=job.server.name)
        parties.create_task(aggregator(job.aggregator, job), name=job.aggregator.name)
        job.attendance.start(lambda each, first: parties.create_task(client(each, job, first), name=each.name))
