"""Compiles the network's inner loop to C, beside its sources: set-up does it, and ``make fast``.

Needs mypy, setuptools and a C compiler. Without them, and once a source has been edited, the sources run. Traces are
the same to the last bit (tests/test_compiled.py); what compiling is worth is in docs/benchmarks/network.md.
"""

import os
from pathlib import Path
from typing import Final

HOT: Final = (
    "agenda", "airtime", "arrivals", "cubic", "dates", "flows", "forest", "levels", "network", "pools", "queues",
    "rates", "routes", "sharing", "tcp", "tickets", "transfer",
)  # fmt: skip


def main() -> None:
    """Do what setuptools' command on the command line says: ``build_ext --inplace``, from wherever it is called."""
    from mypyc.build import mypycify  # noqa: PLC0415 -- not there where nothing is compiled
    from setuptools import setup  # noqa: PLC0415

    os.chdir(Path(__file__).parents[1])  # modules are named after their paths from here
    extensions = mypycify([f"netmodels/{name}.py" for name in HOT], group_name="netmodels", debug_level="0")
    for extension in extensions:  # a product and a sum stay two roundings, on processors that could do them in one too
        extension.extra_compile_args.append("-ffp-contract=off")
    setup(ext_modules=extensions)


if __name__ == "__main__":
    main()
