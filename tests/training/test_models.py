"""Where models come from: folders, the local cache, a hub that may be out of reach."""

from __future__ import annotations

import json
import shutil
import time

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, LlamaConfig

import cli
from simulator.training import hub
from simulator.training.hub import folder_of, missing
from simulator.training.models import ModelPlan, load
from simulator.training.tokens import MINI

CPU = torch.device("cpu")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub's client, and a hub that refuses to be asked."""

    class Unreachable:
        def head(self, *_, **__):
            raise OSError("Name or service not known")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub, "get_session", Unreachable)
    return tmp_path / "cache"


def put_into(cache, name: str, *files: str):
    """The mini model's files as the hub's client would have cached them under another name."""
    root = cache / f"models--{name.replace('/', '--')}"
    folder = root / "snapshots" / "0123"
    folder.mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("0123")
    for file in files:
        shutil.copy(MINI / file, folder / file)
    return folder


def test_a_hub_out_of_reach_is_noticed_at_once_with_the_file_and_what_to_do(cache):
    began = time.perf_counter()
    with pytest.raises(
        ValueError,
        match=r"tokenizer.json of 'gpt2' is neither in a folder of that name nor in the local cache, and the hub at "
        r"\S+ cannot be reached \(Name or service not known\); copy config.json, model.safetensors, tokenizer.json "
        r"into a folder and set model.name to it, or use model.name mini",
    ):
        load(ModelPlan("gpt2"), CPU)
    assert time.perf_counter() - began < 5


def test_what_is_in_the_cache_is_used_without_asking_the_hub(cache):
    put_into(cache, "owner/small", "config.json", "model.safetensors", "tokenizer.json")
    loaded = load(ModelPlan("owner/small"), CPU)
    assert loaded.model.config.n_embd == 96
    assert loaded.end == 0


def test_a_download_that_broke_off_is_named_by_the_file_that_is_missing(cache):
    put_into(cache, "owner/small", "config.json", "tokenizer.json")
    with pytest.raises(ValueError, match="^model.safetensors of 'owner/small' is neither"):
        load(ModelPlan("owner/small"), CPU)


def test_a_name_that_the_hub_does_not_know_is_refused_in_the_hub_s_words(cache, monkeypatch):
    class Reachable:
        def head(self, *_, **__):
            return None

    def unknown(*_, **__):
        raise ValueError("404 Repository Not Found\nmore")

    monkeypatch.setattr(hub, "get_session", Reachable)
    monkeypatch.setattr(hub, "snapshot_download", unknown)
    with pytest.raises(
        ValueError, match=r"model.name: 'no/body' cannot be taken from the hub \(404 Repository Not Found"
    ):
        folder_of("no/body", ("config.json",), key="model.name")


def test_weights_in_parts_are_complete_when_every_part_is_there(tmp_path):
    tensors = load_file(MINI / "model.safetensors")
    names = sorted(tensors)
    halves = {
        "model-1-of-2.safetensors": names[: len(names) // 2],
        "model-2-of-2.safetensors": names[len(names) // 2 :],
    }
    for file, part in halves.items():
        save_file({name: tensors[name] for name in part}, tmp_path / file, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {name: file for file, part in halves.items() for name in part}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    for file in ("config.json", "tokenizer.json"):
        shutil.copy(MINI / file, tmp_path / file)
    whole, parts = load(ModelPlan("mini"), CPU).model, load(ModelPlan(str(tmp_path)), CPU).model
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters(), strict=True))
    (tmp_path / "model-2-of-2.safetensors").unlink()
    assert missing(tmp_path, ("config.json", "model.safetensors")) == "model-2-of-2.safetensors"


def llama_folder(folder, **changes):
    """A tiny random Llama of 12 blocks with the mini model's tokenizer."""
    folder.mkdir()
    numbers = {
        "num_hidden_layers": 12, "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": 48, "max_position_embeddings": 128, "vocab_size": 1280, "bos_token_id": 0,
        "eos_token_id": 0,
    } | changes  # fmt: skip
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(LlamaConfig(**numbers), dtype=torch.float32).save_pretrained(folder)
    shutil.copy(MINI / "tokenizer.json", folder / "tokenizer.json")
    return folder


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return llama_folder(tmp_path_factory.mktemp("models") / "tiny-llama")


def test_a_llama_runs_checks_and_goes_on_from_its_own_adapters(llama, scenarios, tmp_path):
    """Weights from a folder, timed as GPT-2; the proof holds on it in both precisions."""
    overrides = ["--set", f"model.name={llama}", "--set", "lora.targets=[q_proj, v_proj, down_proj]"]
    four = str(scenarios / "four_phones.yaml")
    assert cli.main(["check", four, *overrides, "--json"]) == 0
    assert cli.main(["run", four, *overrides, "--json", "--out", str(tmp_path / "a")]) == 0
    config = json.loads((tmp_path / "a" / "adapter" / "adapter_config.json").read_text())
    assert sorted(config["target_modules"]) == ["down_proj", "q_proj", "v_proj"]
    assert config["fan_in_fan_out"] is False


def test_the_folder_of_an_unknown_family_is_refused_with_the_known_ones(tmp_path):
    folder = llama_folder(tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "mistral"}))
    with pytest.raises(ValueError, match=r"models of type 'mistral' cannot be split here; known families: gpt2, llama"):
        load(ModelPlan(str(folder)), CPU)


def test_a_text_ends_with_the_token_that_the_config_names_where_the_usual_one_is_unknown(tmp_path):
    folder = llama_folder(tmp_path / "m", eos_token_id=[7, 8])
    text = (MINI / "tokenizer.json").read_text().replace("<|endoftext|>", "</s>")
    (folder / "tokenizer.json").write_text(text)
    assert load(ModelPlan(str(folder)), CPU).end == 7
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"eos_token_id": None}))
    with pytest.raises(
        ValueError, match=r"has no <\|endoftext\|> token, and eos_token_id in the model's config is None"
    ):
        load(ModelPlan(str(folder)), CPU)


def test_a_pretrained_model_wants_its_own_tokenizer_and_a_random_one_any_that_fits(tmp_path):
    folder = llama_folder(tmp_path / "m", vocab_size=2000)
    with pytest.raises(
        ValueError, match=r"has 1280 tokens, but model .* was trained with 2000; set model.tokenizer to"
    ):
        load(ModelPlan(str(folder)), CPU)
    plan = ModelPlan(str(folder), tokenizer="mini", init="random")
    assert (
        load(plan, CPU).tokenizer.get_vocab_size() == Tokenizer.from_file(str(MINI / "tokenizer.json")).get_vocab_size()
    )
