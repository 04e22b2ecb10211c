"""The folder of a run: what is in it, what is refused, and what a full disk or a kill leaves behind."""

import csv
import errno
import json
import math
import os
import platform
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
import simpy
from pyarrow import parquet

from simulator import run_folder
from simulator.record import ComputeRow, MessageRow, Record, RoundRow
from simulator.run_folder import FolderObserver, RunFolder, RunFolderError, default_path, manifest

NAN = math.nan
ROOT = Path(run_folder.__file__).parents[1]
BEFORE = RoundRow(0, 0.0, 0.0, 2, 0, NAN, 3.5, 33.1, 0, 0, "")
FIRST = RoundRow(1, 0.0, 4.125, 2, 0, 0.1, NAN, NAN, 1000, 900, 'Ann, the "slow"')
HEADER = "round,start_s,end_s,participants,dropped,train_loss,loss,perplexity,bytes_up,bytes_down,slowest,energy_j,late"
SENT = MessageRow(7, 1, "activations", "a", "server", "up", 100, 140, 0.5, 1.5, 1.75, "delivered", 2.5)
LOST = MessageRow(8, 1, "gradients", "server", "a", "down", 100, 140, 2.0, 2.5, NAN, "cancelled")
WORK = ComputeRow("a", 1, "client forward", 1e9, 0.0, 0.5, 1.5)


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(tmp_path / "runs" / "name" / "one")


@contextmanager
def no_file_above(size_bytes):
    """The kernel refuses to let any file of this process grow beyond that: a real failure, with EFBIG."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def failing(code):
    def fsync(descriptor):
        raise OSError(code, os.strerror(code))

    return fsync


def names(folder):
    return sorted(entry.name for entry in folder.path.iterdir())


def test_a_finished_run_has_all_its_files_and_no_others(folder):
    folder.write_scenario("name: hörsaal\n")
    folder.write_manifest({"seed": 7})
    folder.append_round(BEFORE)
    folder.write_tables([SENT], [WORK])
    assert not folder.finished
    folder.write_summary({"rounds": 0})
    assert folder.finished
    assert names(folder) == [
        "compute.parquet",
        "manifest.json",
        "messages.parquet",
        "rounds.csv",
        "scenario.yaml",
        "summary.json",
    ]
    assert (folder.path / "scenario.yaml").read_text("utf-8") == "name: hörsaal\n"


def test_rounds_are_readable_as_they_end_and_numbers_not_taken_are_empty(folder):
    rounds = folder.path / "rounds.csv"
    assert rounds.read_text("utf-8") == HEADER + "\n"
    record = Record([FolderObserver(folder)])
    record.round(BEFORE)
    assert rounds.read_text("utf-8").splitlines()[1:] == ["0,0.0,0.0,2,0,,3.5,33.1,0,0,,,0"]
    record.round(FIRST)
    with rounds.open(newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert last["slowest"] == 'Ann, the "slow"'
    assert (last["end_s"], last["train_loss"], last["loss"]) == ("4.125", "0.1", "")


def test_messages_read_back_as_they_were_and_what_never_arrived_is_null(folder):
    folder.write_tables([SENT, LOST], [WORK])
    messages = parquet.read_table(folder.path / "messages.parquet")
    assert messages.column_names == list(MessageRow._fields)
    assert messages.to_pylist() == [SENT._asdict(), {**LOST._asdict(), "delivered_s": None, "energy_j": None}]
    computes = parquet.read_table(folder.path / "compute.parquet")
    assert computes.to_pylist() == [WORK._asdict()]
    assert [str(messages.schema.field(name).type) for name in ("id", "queued_s")] == ["int64", "double"]
    assert str(messages.schema.field("kind").type).startswith("dictionary<values=string")


def test_tables_without_rows_have_the_same_columns_and_types(folder):
    folder.write_tables([SENT], [WORK])
    files = [folder.path / "messages.parquet", folder.path / "compute.parquet"]
    filled = [parquet.read_schema(file) for file in files]
    folder.write_tables([], [])
    assert [parquet.read_schema(file) for file in files] == filled
    assert [parquet.read_table(file).num_rows for file in files] == [0, 0]


def test_numbers_that_json_lacks_become_null(folder):
    folder.write_summary(
        {"loss": NAN, "blame": {"up": [math.inf, 1.5]}, "pair": (np.float32(0.5), np.int64(3), np.float64(NAN))}
    )
    text = (folder.path / "summary.json").read_text("utf-8")
    assert "NaN" not in text
    assert json.loads(text) == {"loss": None, "blame": {"up": [None, 1.5]}, "pair": [0.5, 3, None]}


def test_the_manifest_may_be_written_anew(folder):
    folder.write_manifest({"torch": None})
    folder.write_manifest({"torch": "2.9.0"})
    assert json.loads((folder.path / "manifest.json").read_text("utf-8")) == {"torch": "2.9.0"}


# --- which folders are taken


def test_an_empty_folder_is_taken(tmp_path):
    assert RunFolder.create(tmp_path).path == tmp_path


def test_a_finished_run_is_never_written_over(folder):
    folder.write_summary({})
    with pytest.raises(ValueError, match=r"one holds a finished run; name another folder with --out, or remove this"):
        RunFolder.create(folder.path)


def test_an_interrupted_run_is_not_written_over_either(folder):
    with pytest.raises(ValueError, match=r"holds a run that is still going or was interrupted; name another folder"):
        RunFolder.create(folder.path)


def test_a_folder_with_files_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("...")
    with pytest.raises(ValueError, match=r"is not empty \(it holds 'thesis.tex'\); name another folder"):
        RunFolder.create(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "results").write_text("")
    with pytest.raises(ValueError, match="results is a file; the results need a folder"):
        RunFolder.create(tmp_path / "results")


def test_of_two_runs_that_begin_at_once_only_one_gets_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "_refuse_unless_empty", lambda path: None)
    RunFolder.create(tmp_path)
    with pytest.raises(ValueError, match="is being used by another run that has just begun"):
        RunFolder.create(tmp_path)
    assert (tmp_path / "rounds.csv").read_text("utf-8") == HEADER + "\n"


def test_the_default_folder_is_named_after_scenario_time_and_seed(tmp_path):
    now = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
    assert default_path("100_phones", 7, now) == Path("runs/100_phones/20260314-150926-7")
    first = default_path("100_phones", 7, now, root=tmp_path)
    RunFolder.create(first)
    RunFolder.create(default_path("100_phones", 7, now, root=tmp_path))
    assert default_path("100_phones", 7, now, root=tmp_path) == first.with_name("20260314-150926-7-3")
    assert default_path("100_phones", 8, now, root=tmp_path).name == "20260314-150926-8"


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Hörsaal 3 / A", "Horsaal-3-A"),
        ("../../etc", "etc"),
        ("..", "run"),
        ("電話", "run"),
        ("x" * 300, "x" * 100),
    ],
)
def test_a_scenario_of_any_name_gets_one_plain_folder_inside_runs(name, slug):
    path = default_path(name, 1, datetime(2026, 1, 2, tzinfo=UTC))
    assert path.parts[:2] == ("runs", slug)
    assert len(path.parts) == 3


# --- when the disk does not play along


def test_a_file_that_cannot_grow_is_one_sentence_and_leaves_nothing(folder):
    summary = {"text": "x" * 5000}
    with no_file_above(2000), pytest.raises(RunFolderError) as caught:
        folder.write_summary(summary)
    assert str(caught.value).startswith(f"{folder.path / 'summary.json'} cannot be written: the file would exceed")
    assert caught.value.errno == errno.EFBIG
    assert names(folder) == ["rounds.csv"]
    assert not folder.finished
    folder.write_summary(summary)
    assert folder.finished


def test_tables_that_cannot_grow_leave_neither_half_a_table_nor_a_part(folder):
    many = [SENT._replace(id=number, queued_s=math.sqrt(number)) for number in range(5000)]
    with no_file_above(8000), pytest.raises(RunFolderError, match=r"messages.parquet cannot be written"):
        folder.write_tables(many, [WORK])
    assert names(folder) == ["rounds.csv"]


def test_a_failed_rewrite_leaves_the_old_file(folder):
    folder.write_manifest({"seed": 7})
    with no_file_above(100), pytest.raises(RunFolderError):
        folder.write_manifest({"text": "x" * 500})
    assert json.loads((folder.path / "manifest.json").read_text("utf-8")) == {"seed": 7}


def test_a_round_that_does_not_fit_leaves_whole_lines_only(folder):
    folder.append_round(BEFORE)
    rounds = folder.path / "rounds.csv"
    before = rounds.read_bytes()
    with no_file_above(len(before) + 10), pytest.raises(RunFolderError, match=r"rounds.csv cannot be written"):
        folder.append_round(FIRST)
    assert rounds.read_bytes() == before
    folder.append_round(FIRST)
    assert rounds.read_bytes().startswith(before)
    assert rounds.read_bytes().count(b"\n") == 3


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk quota is used up"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EIO, os.strerror(errno.EIO).lower()),
    ],
)
def test_the_reason_is_said_in_words(folder, monkeypatch, code, reason):
    monkeypatch.setattr(os, "fsync", failing(code))
    with pytest.raises(RunFolderError) as caught:
        folder.write_manifest({})
    assert str(caught.value) == f"{folder.path / 'manifest.json'} cannot be written: {reason}"
    assert names(folder) == ["rounds.csv"]


def test_rounds_that_are_not_safe_on_the_disk_keep_the_run_unfinished(folder, monkeypatch):
    monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
    with pytest.raises(RunFolderError, match=r"rounds.csv cannot be written: the disk is full"):
        folder.write_summary({})
    assert not folder.finished


def test_an_interrupt_while_writing_leaves_no_part(folder, monkeypatch):
    def interrupted(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        folder.write_manifest({})
    assert names(folder) == ["rounds.csv"]


def test_a_folder_below_a_file_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match=re.escape(f"{tmp_path / 'file' / 'run'} cannot be written: not a dir")):
        RunFolder.create(tmp_path / "file" / "run")


def test_a_folder_whose_first_file_does_not_fit_is_left_empty(tmp_path):
    with no_file_above(10), pytest.raises(RunFolderError, match=r"rounds.csv cannot be written"):
        RunFolder.create(tmp_path / "run")
    assert not list((tmp_path / "run").iterdir())


def test_a_folder_that_was_removed_during_the_run_is_said_by_name(folder):
    (folder.path / "rounds.csv").unlink()
    folder.path.rmdir()
    with pytest.raises(RunFolderError, match=r"one/rounds.csv cannot be written: no such file"):
        folder.append_round(FIRST)


def in_another_process(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
def test_a_folder_without_permission_is_one_sentence(tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    done = in_another_process(
        """
import os, sys
from pathlib import Path
from simulator.run_folder import RunFolder, RunFolderError
if os.geteuid() == 0:
    os.setuid(65534)  # permissions do not bind the superuser
try:
    RunFolder.create(Path(sys.argv[1]) / "run")
except RunFolderError as error:
    print(error)
""",
        locked,
    )
    assert done.stdout == f"{locked / 'run'} cannot be written: permission denied\n"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_run_leaves_the_rounds_it_has_done(tmp_path):
    done = in_another_process(
        """
import os, signal, sys
from pathlib import Path
from simulator.record import RoundRow
from simulator.run_folder import RunFolder
folder = RunFolder.create(Path(sys.argv[1]))
for number in range(3):
    folder.append_round(RoundRow(number, 0.0, 1.0, 2, 0, 0.5, 0.5, 1.6, 10, 10, "a"))
os.kill(os.getpid(), signal.SIGKILL)
""",
        tmp_path / "run",
    )
    assert done.returncode == -signal.SIGKILL
    with (tmp_path / "run" / "rounds.csv").open(newline="") as file:
        assert [row["round"] for row in csv.DictReader(file)] == ["0", "1", "2"]
    assert not RunFolder(tmp_path / "run").finished


# --- the manifest


def some_manifest(**other):
    given = {"seed": 7, "started": datetime(2026, 3, 14, 12, tzinfo=UTC), "command": ["splitwire"], "provenance": {}}
    return manifest(**{**given, **other})


def test_the_manifest_says_what_ran_where_when_and_why(folder):
    started = datetime(2026, 3, 14, 15, 0, tzinfo=timezone(timedelta(hours=2)))
    provenance = {"devices.phone.efficiency": "measured: on the bench"}
    found = some_manifest(started=started, command=["splitwire", "run", "a b.yaml"], provenance=provenance)
    assert found["seed"] == 7
    assert found["started_utc"] == "2026-03-14T13:00:00+00:00"
    assert found["command"] == ["splitwire", "run", "a b.yaml"]
    assert found["provenance"] == provenance
    assert found["host"]["cores"] == os.cpu_count()
    versions = found["versions"]
    assert versions["python"] == platform.python_version()
    assert (versions["numpy"], versions["simpy"]) == (np.__version__, simpy.__version__)
    assert re.search(rf'^version = "{re.escape(versions["splitwire"])}"$', (ROOT / "pyproject.toml").read_text(), re.M)
    folder.write_manifest(found)


def test_torch_is_listed_where_it_is_loaded_and_never_loaded_for_that(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert "torch" not in some_manifest()["versions"]
    assert "torch" not in sys.modules
    torch = type(sys)("torch")
    torch.__version__ = "2.9.0+cpu"
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert some_manifest()["versions"]["torch"] == "2.9.0+cpu"


def test_the_commit_is_that_of_this_checkout(tmp_path, monkeypatch):
    for name in filter(re.compile("GIT_").match, list(os.environ)):
        monkeypatch.delenv(name)  # in a hook of git these lead to the repository that is being committed

    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        return subprocess.run(["git", "-C", tmp_path, *who, *arguments], check=True, capture_output=True, text=True)

    monkeypatch.setattr(run_folder, "PROJECT", tmp_path)
    assert some_manifest()["git_commit"] is None
    try:
        git("init")
    except FileNotFoundError:
        pytest.skip("git is not installed")
    (tmp_path / "file").write_text("one")
    git("add", "file")
    git("commit", "-m", "one")
    commit = git("rev-parse", "HEAD").stdout.strip()
    assert some_manifest()["git_commit"] == commit
    (tmp_path / "file").write_text("two")
    assert some_manifest()["git_commit"] == f"{commit}-dirty"


def test_without_git_and_without_a_checkout_the_manifest_is_still_written(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(run_folder, "PROJECT", tmp_path)
    assert some_manifest()["git_commit"] is None
    monkeypatch.setenv("PATH", "")
    assert some_manifest()["git_commit"] is None
