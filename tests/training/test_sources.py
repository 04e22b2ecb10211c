"""Examples from files of every kind, from the datasets library, and one file for each device."""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from simulator.scenario import ScenarioError, load, loads
from simulator.sequences import Passage, join
from simulator.training import hub
from simulator.training.counts import counts_of
from simulator.training.data import TrainingData
from simulator.training.examples import read, read_jsonl, read_text_file
from simulator.training.files import in_order
from simulator.training.groups import IGNORED
from simulator.training.plan import DataPlan, Fields
from simulator.training.tokens import MINI

ROOT = Path(__file__).parents[2]
E2E = ROOT.parent / "shared" / "data" / "e2e"
FOUR = ROOT / "scenarios" / "four_phones.yaml"

OFFICIAL = "name[The Vaults], eatType[pub], food[Thai], priceRange[cheap]"
LORA = "name : The Vaults | Type : pub | food : Thai | price : cheap"
TEXT = "The Vaults is a cheap Thai pub ."
SLOTS = (("name", "The Vaults"), ("type", "pub"), ("food", "Thai"), ("price", "cheap"))


def plan(**changes: object) -> DataPlan:
    values = {
        "source": "text", "path": None, "validation_path": None, "samples_per_device": 3, "validation_samples": 2,
        "partition": "iid", "alpha": 0.5, "slot": "food", "size_spread": 0.0, "labels": "reference", "sequences": 2,
        "tokens": 64,
    }  # fmt: skip
    return DataPlan(**{**values, **changes})


@pytest.fixture(scope="module")
def tokenizer():
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(MINI / "tokenizer.json"))


def texts(tokenizer, sequences) -> list[str]:
    """What the labels of each sequence say."""
    return [tokenizer.decode(row[row != IGNORED].tolist()).strip() for row in sequences.labels_RT]


def wholes(tokenizer, sequences) -> list[str]:
    """What each sequence says, prompt included."""
    return [tokenizer.decode(row.tolist()).strip() for row in sequences.ids_RT]


def lines(*entries: object) -> str:
    return "".join(json.dumps(entry) + "\n" for entry in entries)


# E2E


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.txt", f"{LORA}||{TEXT}\n"),
        ("train.csv", f'mr,ref\n"{OFFICIAL}",{TEXT}\n'),
        ("train.jsonl", lines({"context": LORA, "completion": TEXT})),
        ("train.jsonl", lines({"mr": OFFICIAL, "ref": TEXT})),
        ("train.jsonl", lines({"gem_id": "1", "meaning_representation": OFFICIAL, "human_reference": TEXT})),
    ],
)
def test_every_form_of_e2e_says_the_same(tmp_path, name, content, packed):
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    (example,) = read(path)
    assert (example.slots, example.text) == (SLOTS, TEXT)


@pytest.mark.skipif(not E2E.is_dir(), reason="the E2E files are not part of the project")
def test_the_official_examples_are_the_same_from_json_lines_as_from_their_csv(tmp_path):
    raw = gzip.decompress((E2E / "original" / "devset.csv.gz").read_bytes()).decode()
    (tmp_path / "valid.jsonl").write_text(lines(*csv.DictReader(io.StringIO(raw))))
    assert read(tmp_path / "valid.jsonl") == read(E2E / "original" / "devset.csv.gz")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lines({"context": [1, "a"], "completion": [1318]}), r"train\.jsonl:1: a list of token ids must have whole"),
        (
            lines({"context": [1, 2], "completion": "x"}),
            r":1: context and completion must both be texts, or",
        ),
        (lines({"context": LORA, "completion": TEXT}, {"a": "b"}), r":2: .* needs the fields context and completion"),
        (lines({"context": [1, 2], "completion": [True]}), r":1: a list of token ids must have whole numbers >= 0"),
        (lines({"context": LORA, "completion": " "}), r":1: there is no text behind the slots"),
        ("{nonsense}\n", r":1: not JSON"),
        ("[" * 100_000, r":1: not JSON: maximum recursion depth exceeded"),
        ("[1, 2]\n", r":1: a line must be a JSON object, got \[1, 2\]"),
        (lines({"mr": "nonsense", "ref": TEXT}), r":1: expected name\[value\]"),
        ("\n", "has no usable line"),
    ],
)
def test_json_lines_that_are_no_e2e_are_refused_with_their_line(tmp_path, content, reason):
    (tmp_path / "train.jsonl").write_text(content)
    with pytest.raises(ValueError, match=reason):
        read(tmp_path / "train.jsonl")


def write_ids(path: Path, tokenizer, rows: int, *, end: int) -> None:
    """As the published code does: each half tokenized, end-of-text behind both."""
    halves = [tokenizer.encode(half, add_special_tokens=False).ids for half in (LORA, f" {TEXT}")]
    path.write_text(lines(*[{"context": [*halves[0], end], "completion": [*halves[1], end]}] * rows))


def test_lines_of_token_ids_are_sequences_as_the_published_code_makes_them(tmp_path, tokenizer):
    write_ids(tmp_path / "train.jsonl", tokenizer, 6, end=0)
    write_ids(tmp_path / "valid.jsonl", tokenizer, 2, end=0)
    data = TrainingData(plan(source="e2e", path=tmp_path), tokenizer, end=0, devices=2, seed=1)
    ids, labels = data.batch(0, 1).ids_RT[0], data.batch(0, 1).labels_RT[0]
    halves = [tokenizer.encode(half, add_special_tokens=False).ids for half in (LORA, f" {TEXT}")]
    whole = [*halves[0], 0, *halves[1], 0]
    assert ids[: len(whole)].tolist() == whole
    assert labels[labels != IGNORED].tolist() == [*halves[1], 0]
    assert labels[len(halves[0])] == halves[1][0]  # predicted from the separator


def test_token_ids_of_another_tokenizer_are_refused(tmp_path, tokenizer):
    for name in ("train.jsonl", "valid.jsonl"):
        write_ids(tmp_path / name, tokenizer, 8, end=50256)
    with pytest.raises(ValueError, match=r"ends with 50256, but end-of-text of the model's 1280 tokens is 0"):
        TrainingData(plan(source="e2e", path=tmp_path), tokenizer, end=0, devices=2, seed=1)


# plain text


def test_paragraphs_are_examples(tmp_path):
    (tmp_path / "a.txt").write_text("One line\nand its second.\n\n  \n\n\tAnother.\r\n\r\nThird.\n")
    assert [passage.text for passage in read_text_file(tmp_path / "a.txt")] == [
        "One line\nand its second.", "Another.", "Third."
    ]  # fmt: skip


def test_a_text_without_a_prompt_is_learnt_from_its_second_token_on(tmp_path, tokenizer):
    words = "the curry house by the river is a cheap pub"
    (tmp_path / "a.txt").write_text("\n\n".join([words] * 8))
    data = TrainingData(plan(path=tmp_path / "a.txt"), tokenizer, end=0, devices=2, seed=1)
    ids, labels = data.validation().ids_RT[0], data.validation().labels_RT[0]
    whole = tokenizer.encode(words, add_special_tokens=False).ids
    assert ids[: len(whole)].tolist() == whole
    assert labels[labels != IGNORED].tolist() == [*whole[1:], 0]


def test_a_folder_of_texts_is_read_file_after_file_and_its_end_is_held_out(tmp_path, tokenizer):
    for number in (10, 2, 1):
        (tmp_path / f"part{number}.txt").write_text(f"number {number} a\n\nnumber {number} b\n\nnumber {number} c")
    (tmp_path / "notes.md").write_text("not read")
    assert [path.name for path in in_order(tmp_path, [".txt"])] == ["part1.txt", "part2.txt", "part10.txt"]
    data = TrainingData(plan(path=tmp_path, labels="all"), tokenizer, end=0, devices=2, seed=1)
    assert len(data.validation().ids_RT) == 2
    for said in texts(tokenizer, data.validation()):
        assert said.endswith(("10 b", "10 c"))


def test_a_train_and_a_valid_file_are_what_they_are_called(tmp_path, tokenizer):
    (tmp_path / "train.txt").write_text("\n\n".join(f"train {n} now" for n in range(6)))
    (tmp_path / "valid.txt").write_text("\n\n".join(f"held {n} out" for n in range(2)))
    data = TrainingData(plan(path=tmp_path), tokenizer, end=0, devices=2, seed=1)
    assert all("out" in said for said in texts(tokenizer, data.validation()))
    assert all("now" in said for device in (0, 1) for said in texts(tokenizer, data.batch(device, 1)))


# JSON lines


def test_prompt_and_text_are_the_fields_that_the_scenario_names(tmp_path):
    (tmp_path / "a.jsonl").write_text(lines({"q": "Who?", "a": "Nobody.", "topic": "x", "n": 3, "more": [1]}))
    (passage,) = read_jsonl(tmp_path / "a.jsonl", Fields("q", "a"))
    assert join(passage) == ("Who?", " Nobody.")
    assert passage.slots == (("topic", "x"), ("n", "3"))


@pytest.mark.parametrize(
    ("prompt", "text", "joined"),
    [
        ("Q: who? A:", "me", ("Q: who? A:", " me")),
        ("Q: who? A: ", " me ", ("Q: who? A:", " me")),
        ("Answer:\n", "me", ("Answer:\n", "me")),
        ("", " me", ("", "me")),
    ],
)
def test_a_prompt_and_its_text_tokenize_apart_as_together(tokenizer, prompt, text, joined):
    assert join(Passage(prompt, text)) == joined
    apart = [tokenizer.encode(part, add_special_tokens=False).ids for part in joined]
    assert apart[0] + apart[1] == tokenizer.encode("".join(joined), add_special_tokens=False).ids


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            lines({"prompt": "a", "texts": "b"}),
            r"a\.jsonl:1: data\.text_field: unknown field 'text'; did you mean",
        ),
        (lines({"text": "a"}, {"text": 3}), r":2: the field 'text' must be a text, got 3"),
        (lines({"text": "  "}), r":1: the field 'text' is empty"),
        (lines({"text": "\ud83d"}), r":1: a \\u escape stands for half a character"),
    ],
)
def test_a_line_without_the_field_is_refused_with_a_guess(tmp_path, content, reason):
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(ValueError, match=reason):
        read_jsonl(tmp_path / "a.jsonl", Fields())


def test_any_field_can_be_the_slot_that_is_not_iid(tmp_path, tokenizer):
    entries = [{"text": f"{topic} {n}", "topic": topic} for topic in ("red", "blue") for n in range(40)]
    (tmp_path / "a.jsonl").write_text(lines(*entries))
    changes = {"source": "jsonl", "path": tmp_path / "a.jsonl", "samples_per_device": 8, "alpha": 1e-4}
    changes |= {"partition": "dirichlet", "slot": "topic", "sequences": 8}
    data = TrainingData(plan(**changes, labels="all"), tokenizer, end=0, devices=4, seed=1)
    kinds = [{said.split()[0] for said in wholes(tokenizer, data.batch(device, 1))} for device in range(4)]
    assert kinds[0] in ({"red"}, {"blue"})
    assert sum(len(each) == 1 for each in kinds) >= 2  # the last ones get what is left


# a file for each device


def write_clients(folder: Path, sizes: list[int]) -> None:
    for number, size in enumerate(sizes):
        (folder / f"client{number}.jsonl").write_text(
            lines(*({"text": f"client {number} said {n} times yes"} for n in range(size)))
        )
    (folder / "valid.jsonl").write_text(lines(*({"text": f"valid said {n} yes"} for n in range(4))))


def test_each_device_has_its_own_file_and_all_of_it(tmp_path, tokenizer):
    sizes = [3, 1, 7, *[2] * 9]
    write_clients(tmp_path, sizes)
    mine = plan(source="jsonl", path=tmp_path, partition="files", labels="all", sequences=7)
    data = TrainingData(mine, tokenizer, end=0, devices=12, seed=1)
    assert data.sample_counts == sizes == counts_of(mine, 12, 1)
    assert sorted(index for shard in data.shards for index in shard) == list(range(sum(sizes)))
    for device in range(12):  # client10 is the eleventh, not the third
        assert all(said.startswith(f"client {device} said") for said in wholes(tokenizer, data.batch(device, 1)))
    assert all(said.startswith("valid") for said in wholes(tokenizer, data.validation()))


@pytest.mark.parametrize(
    ("devices", "reason"),
    [(3, r"has 2 files for 3 devices, .*client0\.jsonl, client1\.jsonl"), (1, "has 2 files for 1 device, ")],
)
def test_more_or_fewer_files_than_devices_are_refused_with_the_numbers(tmp_path, devices, reason):
    write_clients(tmp_path, [3, 1])
    with pytest.raises(ValueError, match=reason):
        counts_of(plan(source="jsonl", path=tmp_path, partition="files"), devices, 1)


def test_a_file_of_which_nothing_is_learnt_leaves_its_device_without_data(tmp_path, tokenizer):
    write_clients(tmp_path, [3, 1])
    long = "word " * 20
    (tmp_path / "client1.jsonl").write_text(lines({"p": long, "text": "a"}, {"p": long, "text": "b"}))
    (tmp_path / "client0.jsonl").write_text(lines({"p": "w", "text": "a"}))
    mine = plan(source="jsonl", path=tmp_path, partition="files", fields=Fields("p"), tokens=8)
    (tmp_path / "valid.jsonl").write_text(lines(*[{"p": "w", "text": "a"}] * 2))
    wanted = r"none of the 2 examples of .*client1\.jsonl keeps a label within training\.tokens = 8"
    with pytest.raises(ValueError, match=wanted):
        TrainingData(mine, tokenizer, end=0, devices=2, seed=1)


def test_an_empty_file_of_a_device_is_refused_by_name(tmp_path):
    write_clients(tmp_path, [3, 1])
    (tmp_path / "client1.jsonl").write_text("\n")
    with pytest.raises(ValueError, match=r"client1\.jsonl has no usable line"):
        counts_of(plan(source="jsonl", path=tmp_path, partition="files"), 2, 1)


def test_files_of_devices_need_held_out_data(tmp_path, tokenizer):
    write_clients(tmp_path, [3, 1])
    (tmp_path / "valid.jsonl").unlink()
    with pytest.raises(ValueError, match=r"has no held-out file .* name a data\.validation_path"):
        TrainingData(plan(source="jsonl", path=tmp_path, partition="files"), tokenizer, end=0, devices=2, seed=1)


# the datasets library


@pytest.fixture
def library(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets", reason="the extra splitwire[datasets] is not installed")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return datasets


def entries(word: str, count: int) -> list[dict[str, str]]:
    return [{"question": f"{word} {n}?", "answer": f"{word} says {n}"} for n in range(count)]


def test_a_local_folder_is_loaded_by_the_datasets_library(tmp_path, tokenizer, library):
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "train.jsonl").write_text(lines(*entries("train", 9)))
    (folder / "validation.jsonl").write_text(lines(*entries("held", 4)))
    mine = plan(source="datasets", dataset=str(folder), fields=Fields("question", "answer"))
    data = TrainingData(mine, tokenizer, end=0, devices=3, seed=1)
    assert all(said.startswith("held says") for said in texts(tokenizer, data.validation()))
    said = {each for device in range(3) for round in (1, 2) for each in texts(tokenizer, data.batch(device, round))}
    assert said == {f"train says {n}" for n in range(9)}  # everything dealt out, nothing twice


def test_a_saved_dataset_and_a_single_file_are_loaded_too(tmp_path, tokenizer, library):
    library.Dataset.from_list(entries("saved", 8)).save_to_disk(tmp_path / "saved")
    (tmp_path / "one.jsonl").write_text(lines(*entries("single", 8)))
    for name, word in (("saved", "saved"), ("one.jsonl", "single")):
        mine = plan(source="datasets", dataset=str(tmp_path / name), fields=Fields(None, "answer"), labels="all")
        data = TrainingData(mine, tokenizer, end=0, devices=2, seed=1)
        found = {tokenizer.decode(row.tolist()).split(" ")[0] for row in data.validation().ids_RT}
        assert found == {word}


def test_a_dataset_that_cannot_be_had_is_refused_in_one_sentence(tmp_path, library, monkeypatch):
    monkeypatch.setattr(hub, "unreachable", lambda: "no network here")
    absent = plan(source="datasets", dataset=str(tmp_path / "nothing"))
    with pytest.raises(
        ValueError, match=r"'.*nothing' cannot be loaded: it is not in the .* \(no network here\)"
    ) as caught:
        TrainingData(absent, None, end=0, devices=2, seed=1)
    assert "\n" not in str(caught.value)


def test_without_the_library_the_refusal_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)  # as where it is not installed
    with pytest.raises(ValueError, match=r"not installed: pip install 'splitwire\[datasets\]'"):
        TrainingData(plan(source="datasets", dataset="x/y"), None, end=0, devices=2, seed=1)


# scenarios


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (["data.source=text"], "data.path: missing: source 'text' needs a folder of .txt files, or a file"),
        (["data.source=jsonl"], "data.path: missing: source 'jsonl' needs a folder of .jsonl files, or a file"),
        (["data.source=datasets"], "data.dataset: missing: source 'datasets' needs a name on the hub"),
        (["data.text_field=a"], "data.text_field: is read only with source: jsonl or datasets; the source is"),
        (["data.partition=files"], "data.partition: files needs one file for each device, and source generated"),
        (["data.partition=quantity", "data.size_spread=1"], "data.size_spread: is not read with partition: quantity"),
        (["data={source: text, path: README.md}"], "data.partition: dirichlet needs a slot"),
        (["data={source: text, path: README.md, partition: files}"], "data.path: must be a folder with a file for"),
    ],
)  # fmt: skip
def test_keys_that_do_not_fit_together_are_refused_when_the_scenario_is_loaded(monkeypatch, changes, reason):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ScenarioError) as caught:
        load(FOUR, changes)
    assert reason in str(caught.value)


def test_a_local_dataset_is_found_beside_the_scenario_and_a_hub_name_is_left_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    text = FOUR.read_text()

    def name(dataset: str) -> str | None:
        return loads(text, ["data.source=datasets", f"data.dataset={dataset}"], base_folder=tmp_path).data.dataset

    assert name("mine") == str(tmp_path / "mine")
    assert name("owner/set") == "owner/set"


def test_counts_of_files_need_no_torch(tmp_path):
    write_clients(tmp_path, [3, 1, 2, 5])
    code = (
        "import sys\nfrom pathlib import Path\nfrom simulator.scenario import load\n"
        "from simulator.training.counts import sample_counts\n"
        f"changes = ['data.source=jsonl', 'data.path={tmp_path}', 'data.partition=files']\n"
        "print(sample_counts(load(Path('scenarios/four_phones.yaml'), changes), 4), 'torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[3, 1, 2, 5] False"
