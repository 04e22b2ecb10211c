"""The processor on which a group trains: changes its times, and is refused where nobody knows what it can do."""

from __future__ import annotations

import pytest

from simulator import session, world
from simulator.scenario import load

GPU = "devices.2.backend=gpu-fp32"


def test_flagships_on_their_gpu_take_other_times_and_nobody_else_does(scenarios):
    def computing_s(*overrides):
        rows = world.run(load(scenarios / "four_phones.yaml", overrides), timing_only=True).record.computes
        return {row.actor: row.end_s - row.start_s for row in rows if row.what == "client forward" and row.round == 1}

    on_cpu, on_gpu = computing_s(), computing_s(GPU)
    assert {name for name in on_cpu if on_cpu[name] != pytest.approx(on_gpu[name], rel=1e-12)} == {"high-1", "high-2"}


def test_the_manifest_names_the_source_of_the_other_processors_share(scenarios):
    devices = session.provenance(load(scenarios / "four_phones.yaml", [GPU]))["devices"]
    assert devices["phone-high on gpu-fp32"]["efficiency"].startswith("derived: generic kernels")
    assert "phone-high" not in devices


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["devices.0.profile=raspberry-pi-5", "devices.0.backend=gpu-fp32"],
         r"devices\[0\]\.backend: no efficiency is known for gpu-fp32 on sbc devices .* \(allowed: cpu\)"),
        (["devices.0.profile=jetson-tx2", "devices.0.backend=cpu"],
         r"devices\[0\]\.backend: device 'jetson-tx2'.*: cpu_fp32_flops_per_s is unknown"),
        (["devices.0.backend=gpu"], r"devices\[0\]\.backend: unknown backend 'gpu'"),
    ],
)  # fmt: skip
def test_a_processor_that_nobody_knows_is_refused(scenarios, overrides, sentence):
    with pytest.raises(ValueError, match=sentence):
        load(scenarios / "four_phones.yaml", overrides)
