"""What a run's model writes, and the verb that scores it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import cli
from simulator import session
from simulator.metrics import scores
from simulator.training.plan import DataPlan, Fields
from simulator.training.tasks import Task, tasks
from simulator.whatif.score import Request, score

ROOT = Path(__file__).parents[2]
FOUR = ROOT / "scenarios" / "four_phones.yaml"


@pytest.fixture(scope="module", autouse=True)
def no_java():
    """METEOR's program reads its tables for seconds each time; tests/metrics runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shutil, "which", lambda name: None)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A finished run of a few steps that learn much."""
    folder = tmp_path_factory.mktemp("score") / "run"
    changes = ["training.rounds=6", "training.batch=4", "training.learning_rate=0.01", "training.evaluate_every=6"]
    session.run(FOUR, changes, out=folder, quiet=True)
    return folder


@pytest.fixture(scope="module")
def greedy(run):
    return score(run, Request(samples=6), quiet=True)


def lines(path: str) -> list[dict]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_texts_are_kept_and_scored(run, greedy):
    rows = lines(greedy["texts"])
    assert len(rows) == greedy["samples"] == 6
    assert all(row["prompt"].endswith("||") and row["text"] and row["references"] for row in rows)
    assert scores([row["text"] for row in rows], [row["references"] for row in rows])[0] == greedy["metrics"]


def test_greedy_texts_are_the_likeliest_token_after_token(run, greedy):
    """Each alone, without padding or a cache, by transformers and PEFT alone."""
    import torch
    from peft import PeftModel
    from tokenizers import Tokenizer
    from transformers import AutoModelForCausalLM

    mini = ROOT / "simulator" / "training" / "mini"
    tokenizer = Tokenizer.from_file(str(mini / "tokenizer.json"))
    base = AutoModelForCausalLM.from_pretrained(mini, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, str(run / "adapter")).eval()
    rows = lines(greedy["texts"])
    assert len({len(tokenizer.encode(row["prompt"]).ids) for row in rows}) > 1
    for row in rows:
        ids = tokenizer.encode(row["prompt"], add_special_tokens=False).ids
        start = len(ids)
        with torch.no_grad():
            while len(ids) < start + 64:
                best = int(model(torch.tensor([ids])).logits[0, -1].argmax())
                if best == 0:
                    break
                ids.append(best)
        assert tokenizer.decode(ids[start:]).strip() == row["text"]


def test_what_was_learned_changes_what_is_written(run, greedy):
    base = score(run, Request(samples=6, base=True), quiet=True)
    assert base["adapters"] is None
    assert [row["prompt"] for row in lines(base["texts"])] == [row["prompt"] for row in lines(greedy["texts"])]
    assert [row["text"] for row in lines(base["texts"])] != [row["text"] for row in lines(greedy["texts"])]


def test_beams_repeat_no_four_tokens(run):
    from simulator.training.tokens import tokenizer_of

    result = score(run, Request(decode="beam", samples=3), quiet=True)
    assert (result["beams"], result["length_penalty"], result["no_repeat"]) == (10, 0.8, 4)
    for row in lines(result["texts"]):
        ids = tokenizer_of("mini").encode(f" {row['text']}").ids
        fours = [tuple(ids[start : start + 4]) for start in range(len(ids) - 3)]
        assert len(set(fours)) == len(fours)


def test_four_tokens_of_the_prompt_may_be_said_once():
    import torch

    from simulator.training.writing import NoRepeat

    def forbidden(*ids: int) -> list[int]:
        scores_BV = NoRepeat(4, behind=5)(torch.tensor([ids]), torch.zeros(1, 10))
        return torch.isinf(scores_BV[0]).nonzero().flatten().tolist()

    prompt = (1, 2, 3, 4, 9)
    assert forbidden(*prompt, 1, 2, 3) == []
    assert forbidden(*prompt, 1, 2, 3, 4, 1, 2, 3) == [4]


def test_beams_find_a_text_at_least_as_likely_as_the_greedy_one(run):
    import torch

    from simulator.scenario import load
    from simulator.training.plan import plan_of
    from simulator.training.tokens import tokenizer_of
    from simulator.training.writing import Decoding, Writer

    scenario = load(run / "scenario.yaml")
    writer, tokenizer = Writer(scenario, run / "adapter"), tokenizer_of("mini")
    prompts = [task.prompt for task in tasks(plan_of(scenario), 1, 4)]

    def likelihood(prompt: str, text: str) -> float:
        start = len(tokenizer.encode(prompt).ids)
        ids = torch.tensor([[*tokenizer.encode(prompt).ids, *tokenizer.encode(f" {text}").ids, 0]])
        with torch.no_grad():
            logs = writer._model(ids).logits[0].log_softmax(-1)
        return float(sum(logs[place - 1, ids[0, place]] for place in range(start, ids.shape[1])))

    plain = writer.write(prompts, Decoding(most_tokens=40), lambda done: None)
    beams = writer.write(prompts, Decoding(beams=6, length_penalty=0.0, most_tokens=40), lambda done: None)
    for prompt, first, second in zip(prompts, plain, beams, strict=True):
        assert likelihood(prompt, second) >= likelihood(prompt, first) - 1e-4


def test_progress_is_told_and_ends_at_the_number_of_texts(run):
    from simulator.scenario import load
    from simulator.training.writing import Decoding, Writer

    told: list[int] = []
    prompts = [f"name : Place {number} ||" for number in range(5)]
    writer = Writer(load(run / "scenario.yaml"), None)
    assert len(writer.write(prompts, Decoding(most_tokens=2), told.append, at_once=2)) == 5
    assert told == [2, 4, 5]


# what is asked of it


def e2e(tmp_path, **changes) -> DataPlan:
    values = {
        "source": "e2e", "path": tmp_path, "validation_path": None, "samples_per_device": 1, "validation_samples": 1,
        "partition": "iid", "alpha": 0.5, "slot": "food", "size_spread": 0.0, "labels": "reference", "sequences": 1,
        "tokens": 64,
    }  # fmt: skip
    return DataPlan(**{**values, **changes})


def test_references_are_grouped_by_meaning(tmp_path):
    (tmp_path / "train.txt").write_text("name : A||x\n")
    (tmp_path / "valid.txt").write_text("name : A||one\nname : B||two\nname : A||three\nname : A | food : Thai||four\n")
    found = {task.prompt: sorted(task.references) for task in tasks(e2e(tmp_path), 1, 10)}
    assert found == {"name : A ||": ["one", "three"], "name : B ||": ["two"], "name : A | food : Thai ||": ["four"]}
    assert len(tasks(e2e(tmp_path), 1, 2)) == 2
    (tmp_path / "test.txt").write_text("name : C||five\n")
    assert tasks(e2e(tmp_path), 1, 10, tmp_path / "test.txt") == [Task("name : C ||", ("five",))]


def test_text_without_prompts_is_refused(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "valid.jsonl").write_text('{"text": "b"}\n')
    with pytest.raises(ValueError, match=r"text without a prompt.*data\.prompt_field"):
        tasks(e2e(tmp_path, source="jsonl", fields=Fields()), 1, 10)


def test_a_run_that_learned_nothing_is_refused(tmp_path):
    session.run(FOUR, ["training.rounds=1"], out=tmp_path / "timed", timing_only=True, quiet=True)
    with pytest.raises(ValueError, match="has no adapter: nothing was learned there"):
        score(tmp_path / "timed", Request(), quiet=True)
    with pytest.raises(ValueError, match=r"is not the folder of a run: it has no scenario\.yaml"):
        score(tmp_path, Request(), quiet=True)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"decode": "beem"}, "unknown decoding 'beem'; did you mean 'beam'"),
        ({"samples": 0}, "--samples: must be >= 1, got 0"),
        ({"data": Path("nowhere.txt")}, "--data: nowhere.txt is not a file"),
    ],
)
def test_a_wrong_wish_is_refused(run, changes, reason):
    with pytest.raises(ValueError, match=reason):
        score(run, Request(**changes), quiet=True)


def test_the_command_prints_one_object_or_a_table(run, capsys):
    assert cli.main(["score", str(run), "--samples", "2", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["samples"] == 2
    assert set(printed["metrics"]) | set(printed["left_out"]) == {
        "bleu_percent", "nist", "meteor", "rouge_l_percent", "cider"
    }  # fmt: skip
    assert cli.main(["score", str(run), "--samples", "2"]) == 0
    shown = capsys.readouterr().out
    assert "mini with what was learned, greedy, 2 prompts, 2 references" in " ".join(shown.split())
    assert "writes" in shown
