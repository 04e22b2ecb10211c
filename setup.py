"""Compiles the network's inner loop to C, for who asks: ``make fast``, or SPLITWIRE_COMPILE=1 before an installation.

Everything else about the package is in pyproject.toml. The sources stay what runs without this, and give the same
traces to the last bit (tests/test_compiled.py); what compiling is worth is in docs/benchmarks/network.md.
"""

import os

from setuptools import setup

HOT = (
    "agenda", "airtime", "cubic", "flows", "forest", "levels", "network", "pools", "queues", "rates", "routes",
    "sharing", "tcp", "transfer",
)  # fmt: skip

extensions = []
if os.environ.get("SPLITWIRE_COMPILE") == "1":
    from mypyc.build import mypycify

    extensions = mypycify([f"netmodels/{name}.py" for name in HOT], group_name="netmodels", debug_level="0")
    for extension in extensions:  # a product and a sum stay two roundings, on processors that could do them in one too
        extension.extra_compile_args.append("-ffp-contract=off")

setup(ext_modules=extensions)
