"""SplitLoRA with a queue before the server instead of a barrier: as the published code, a server step for each batch.

The devices and the aggregation server do what they do in `splitlora`. The server differs:

    a3  server      for whoever waits: forward and backward of S_i, R_s takes a step; one batch at a time on each GPU,
                    or all that came within a window in one pass
    a4  server      dL/dS_i goes down to device i at once

Which of those who wait is first is the discipline: first come, the shortest job, or the device's number (the published
code serves its clients in a fixed order; here nobody is waited for who is not there). The batches of a round are served
before those of the next. R_s changes between the batches of a round, so what is learned depends on who came when.

With several GPUs each step is taken at the R_s of the moment at which it ends: an R_s that has grown stale while
another GPU was computing is not modelled.
"""

from __future__ import annotations

import asyncio

from simulator.actors import STEP, Server
from simulator.algorithms.job import Job
from simulator.algorithms.splitlora import addressed, aggregator, batches, device
from simulator.messages import Message
from simulator.queueing import Queue
from simulator.workload import server_work


async def server(me: Server, job: Job) -> None:
    """The central server: whoever comes is queued, and every GPU takes from the queue."""
    for round in job.rounds.schedule:
        queue = Queue[Message](me.serving.discipline, me.serving.window_s)
        async with asyncio.TaskGroup() as gpus:
            for number in range(me.serving.gpus):
                gpus.create_task(gpu(me, job, round, queue), name=f"{me.name}, GPU {number + 1}")
            async for upload in job.attendance.arrivals(me, "activations", round):
                work = server_work(batches(job, [upload.payload]))
                queue.put(upload, device=upload.payload.device, seconds=me.machine.seconds(work))
            queue.close()


async def gpu(me: Server, job: Job, round: int, queue: Queue[Message]) -> None:
    """One GPU: a3 and a4 for what it takes from the queue, until nobody is left who might come."""
    while taken := await queue.take():
        uploads = job.attendance.still_there(round, taken)
        if uploads:
            await me.compute(STEP, round, server_work(batches(job, (upload.payload for upload in uploads))))  # a3
        tickets = [upload.payload for upload in job.attendance.still_there(round, uploads)]
        if tickets:
            job.rounds.trained(round, job.numerics.server_step(tickets))
        for to, step in addressed(job, tickets):
            me.post(to.name, "gradients", round, step.gradient_bytes)  # a4


async def train(job: Job) -> None:
    """Run all parties to the end of the last round."""
    async with asyncio.TaskGroup() as parties:
        parties.create_task(server(job.server, job), name=job.server.name)
        parties.create_task(aggregator(job.aggregator, job), name=job.aggregator.name)
        job.attendance.start(lambda each, first: parties.create_task(device(each, job, first), name=each.name))
