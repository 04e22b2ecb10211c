"""Frozen devices, after the idea of SplitFrozen (arXiv 2503.18986): a phone only runs its blocks forward.

The blocks in front of the cut stay as they are, so no gradients go down, no phone computes backward, and nothing is
averaged. Only the server's adapters learn, from everybody. A round:

    a1  device  S_i = blocks[0:k](x_i), forward only
    a2  device  S_i and the labels y_i go up to the server
    a3  server  forward and backward of [S_1; ...; S_N] at once; R_s takes a step
    a4  server  an empty frame tells the devices to go on, so that none runs ahead of the server

Not taken over from the paper: that devices and server work in a pipeline.
"""

import asyncio

from simulator.algorithms.splitlora import batches
from simulator.messages import frame_bytes

GO_ON_BYTES = frame_bytes("control", {})


async def device(me, job, first):
    """One phone, from the round in which it joins: a1 and a2."""
    for round in job.attendance.rounds(me, first):
        ticket = job.numerics.forward(me.index, round)
        await me.compute("client forward", round, me.costs_of(ticket).client_forward)  # a1
        me.post(job.server.name, "activations", round, me.costs_of(ticket).activation_bytes, ticket)  # a2
        await me.receive("control")  # a4


async def server(me, job):
    """The server: waits for all who are there, or for whom `training.wait` says; a3 and a4."""
    for round in job.rounds.schedule:
        uploads = await job.attendance.gather(me, "activations", round)
        if uploads:
            await me.step(round, batches(job, [upload.payload for upload in uploads]))  # a3
        uploads = job.attendance.still_there(round, uploads)
        if uploads:
            job.rounds.trained(round, job.numerics.server_step([upload.payload for upload in uploads]))
        for upload in uploads:
            me.post(upload.sender, "control", round, GO_ON_BYTES)  # a4


async def train(job):
    """Run all parties to the end of the last round; a device is a task from the round it joins until it goes."""
    async with asyncio.TaskGroup() as parties:
        parties.create_task(server(job.server, job), name=job.server.name)
        job.attendance.start(lambda each, first: parties.create_task(device(each, job, first), name=each.name))
