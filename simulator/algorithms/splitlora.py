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
in a fixed order instead of a3 as the paper has it; ``training.server_steps: each`` does so here.

Devices come and go, of which the paper says nothing. Here a device that goes, at whatever instant, counts no more in
the round: neither its batch in a3, nor its adapters in b2; the server and the aggregation server go on with those who
are still there. One who was not there at the last average, or has been away since, begins with b3. Where devices are
drawn anew after each average, b3 goes to those who are drawn, as they begin; the others get an empty frame for b1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from simulator.actors import Actor, Device, Server
from simulator.algorithms.job import Job
from simulator.messages import Message, frame_bytes
from simulator.numerics import Ticket
from simulator.workload import SplitWorkload, aggregation_work

THANKS_BYTES: Final = frame_bytes("adapter", {})

Cohorts = Callable[[int, list[Message]], Sequence[Sequence[Message]]]
"""Which uploads of a round the server takes together, and in which order."""


def together(round: int, uploads: list[Message]) -> list[list[Message]]:
    """All at once: the paper's concatenated batch."""
    return [uploads] if uploads else []


def one_by_one(round: int, uploads: list[Message]) -> list[list[Message]]:
    """A server step for each device, in the order of the fleet: the published code."""
    return [[upload] for upload in sorted(uploads, key=lambda upload: upload.payload.device)]


def learn(job: Job, ticket: Ticket) -> None:
    """The update of a5: R_i takes a step with the gradients that have come back."""
    job.numerics.backward(ticket)


async def catch_up(me: Device, job: Job, first: int) -> None:
    """b3 for one who comes late, or comes back: it begins with the adapters as they were averaged last."""
    if job.attendance.missed_an_average(me):
        job.aggregator.post(me.name, "adapter", first, me.costs.adapter_bytes)
        await me.receive("adapter")


async def device(me: Device, job: Job, first: int, update: Callable[[Job, Ticket], None] = learn) -> None:
    """One client, from the round in which it joins: rounds of a1, a2, a4, a5 and, when due, b1 and b3."""
    await catch_up(me, job, first)
    for round in job.attendance.rounds(me, first):
        ticket = job.numerics.forward(me.index, round)
        step = me.costs_of(ticket)
        await me.compute("client forward", round, step.client_forward)  # a1
        me.post(job.server.name, "activations", round, step.activation_bytes, ticket)  # a2
        await me.receive("gradients")  # a4
        await me.compute("client backward", round, step.client_backward)  # a5
        update(job, ticket)
        if job.rounds.schedule.aggregates_after(round):
            me.post(job.aggregator.name, "adapter", round, me.costs.adapter_bytes, me.index)  # b1
            await me.receive("adapter")  # b3


async def server(me: Server, job: Job, cohorts: Cohorts = together) -> None:
    """The central server: waits for the activations of all who are there (the barrier), a3, a4."""
    for round in job.rounds.schedule:
        for cohort in cohorts(round, await job.attendance.gather(me, "activations", round)):
            uploads = job.attendance.still_there(round, cohort)
            if uploads:
                await me.step(round, batches(job, (upload.payload for upload in uploads)))  # a3
            tickets = [upload.payload for upload in job.attendance.still_there(round, uploads)]
            if tickets:
                job.rounds.trained(round, job.numerics.server_step(tickets))
            for to, step in addressed(job, tickets):
                me.post(to.name, "gradients", round, step.gradient_bytes)  # a4


async def aggregator(me: Actor, job: Job) -> None:
    """The aggregation server: b2 and b3 after every I rounds."""
    for round in filter(job.rounds.schedule.aggregates_after, job.rounds.schedule):
        uploads = await job.attendance.gather(me, "adapter", round)
        if uploads:
            work = aggregation_work(costs(job, (upload.payload for upload in uploads)))
            await me.compute("adapter aggregation", round, work)  # b2
        members = [upload.payload for upload in job.attendance.still_there(round, uploads)]
        if members:
            job.numerics.aggregate(members, [job.weights[index] for index in members])
            job.attendance.averaged(round)
        for to in [job.devices[index] for index in members]:
            size_bytes = to.costs.adapter_bytes if job.attendance.stays else THANKS_BYTES
            me.post(to.name, "adapter", round, size_bytes)  # b3


async def train(job: Job) -> None:
    """Run all parties to the end of the last round; a device is a task from the round it joins until it goes."""
    cohorts = one_by_one if job.each_apart else together
    async with asyncio.TaskGroup() as parties:
        parties.create_task(server(job.server, job, cohorts), name=job.server.name)
        parties.create_task(aggregator(job.aggregator, job), name=job.aggregator.name)
        job.attendance.start(lambda each, first: parties.create_task(device(each, job, first), name=each.name))


def costs(job: Job, members: Iterable[int]) -> list[SplitWorkload]:
    """The workloads of some devices, in the order of the fleet; their adapters are those of every batch."""
    return [job.devices[index].costs for index in sorted(members)]


def batches(job: Job, tickets: Iterable[Ticket]) -> list[SplitWorkload]:
    """The workloads of these very batches, in the order of the fleet."""
    return [step for _, step in addressed(job, sorted(tickets, key=lambda ticket: ticket.device))]


def addressed(job: Job, tickets: Iterable[Ticket]) -> list[tuple[Device, SplitWorkload]]:
    """Whose each batch is, and what it costs."""
    owners = [(job.devices[ticket.device], ticket) for ticket in tickets]
    return [(to, to.costs_of(ticket)) for to, ticket in owners]
