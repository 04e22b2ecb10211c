"""SplitLoRA (Lin et al., arXiv 2407.00952): split federated fine-tuning with low-rank adapters.

Every device i holds the first blocks of a frozen model and adapters R_i for them; the server holds the remaining
blocks and ONE set of adapters R_s; a separate aggregation server averages the device adapters. A round:

    a1  device      S_i = blocks[0:k](x_i; R_i)                                all devices at once
    a2  device      S_i and the labels y_i go up to the server
    a3  server      forward and backward of [S_1; ...; S_N] at once; R_s takes a step
    a4  server      dL/dS_i goes down to device i
    a5  device      backward through its blocks; R_i takes a step

and after every I rounds

    b1  device      R_i goes up to the aggregation server
    b2  aggregator  R = sum_i w_i R_i / sum_i w_i, A and B separately, w_i = |D_i| or 1
    b3  aggregator  R goes down to every device

The labels are known to the server: label privacy is not modelled. The published code takes one server step per client
in a fixed order instead of a3 as the paper has it; here the paper rules.
"""

from __future__ import annotations

import asyncio

from simulator.actors import Actor, Device, Server
from simulator.algorithms.job import Job
from simulator.workload import aggregation_work


async def device(me: Device, job: Job) -> None:
    """One client: rounds of a1, a2, a4, a5 and, when due, b1 and b3."""
    clock = asyncio.get_running_loop()
    for round in job.rounds.schedule:
        ticket = job.numerics.forward(me.index, round)
        await me.compute("client forward", round, me.costs.client_forward)  # a1
        await me.send(job.server.name, "activations", round, me.costs.activation_bytes, ticket)  # a2
        await me.receive("gradients")  # a4
        await me.compute("client backward", round, me.costs.client_backward)  # a5
        job.numerics.backward(ticket)
        if job.rounds.schedule.aggregates_after(round):
            await me.send(job.aggregator.name, "adapter", round, me.costs.adapter_bytes, me.index)  # b1
            await me.receive("adapter")  # b3
        job.rounds.finished(round, me.name, clock.time())


async def server(me: Server, job: Job) -> None:
    """The central server: waits for all activations (the barrier), a3, a4."""
    costs = [device.costs for device in job.devices]
    size_of = {device.name: device.costs.gradient_bytes for device in job.devices}
    async with asyncio.TaskGroup() as replies:
        for round in job.rounds.schedule:
            uploads = [await me.receive("activations") for _ in job.devices]
            await me.step(round, costs)  # a3
            job.rounds.trained(round, job.numerics.server_step([upload.payload for upload in uploads]))
            for to in [upload.sender for upload in uploads]:
                replies.create_task(me.send(to, "gradients", round, size_of[to]), name=f"gradients to {to}")  # a4


async def aggregator(me: Actor, job: Job) -> None:
    """The aggregation server: b2 and b3 after every I rounds."""
    work = aggregation_work([device.costs for device in job.devices])
    size_of = {device.name: device.costs.adapter_bytes for device in job.devices}
    async with asyncio.TaskGroup() as replies:
        for round in filter(job.rounds.schedule.aggregates_after, job.rounds.schedule):
            uploads = [await me.receive("adapter") for _ in job.devices]
            await me.compute("adapter aggregation", round, work)  # b2
            members = [upload.payload for upload in uploads]
            job.numerics.aggregate(members, [job.weights[index] for index in members])
            for to in [upload.sender for upload in uploads]:
                replies.create_task(me.send(to, "adapter", round, size_of[to]), name=f"adapter to {to}")  # b3


async def train(job: Job) -> None:
    """Run all parties to the end of the last round."""
    async with asyncio.TaskGroup() as parties:
        parties.create_task(server(job.server, job), name=job.server.name)
        parties.create_task(aggregator(job.aggregator, job), name=job.aggregator.name)
        for each in job.devices:
            parties.create_task(device(each, job), name=each.name)
