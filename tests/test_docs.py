"""What the documentation says by machine is what the code says."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_reference_of_keys_is_up_to_date():
    made = runpy.run_path(str(ROOT / "docs" / "make_reference.py"))
    written = (ROOT / "docs" / "scenario.md").read_text()
    for line in made["rows"](made["Scenario"], ""):
        assert line in written, "run python docs/make_reference.py"


def test_every_file_that_the_readme_links_to_is_there():
    for target in re.findall(r"\]\(([^)#:]+)[^)]*\)", (ROOT / "README.md").read_text()):
        assert target == "https" or (ROOT / target).exists(), target
