"""Data sets of the Hugging Face ``datasets`` library, by name on the hub or from a local folder; an optional extra."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, overload

from simulator.sequences import Passage
from simulator.training.examples import passage
from simulator.training.plan import Fields

SAVED: Final = ("dataset_dict.json", "state.json")
"""Files that say that a folder was written by ``save_to_disk``."""

FORMATS: Final = {".json": "json", ".jsonl": "json", ".csv": "csv", ".parquet": "parquet", ".txt": "text"}
"""The library's loader of a single local file, by its ending."""

HELD_OUT: Final = ("validation", "valid", "dev", "test")
"""Splits that are held out, the first of them that there is."""


class Rows(Sequence[Passage]):
    """The rows of a split as examples, each read when asked for."""

    def __init__(self, table: Any, fields: Fields, name: str) -> None:  # noqa: ANN401 -- a datasets.Dataset
        """``name`` is what a refusal calls it."""
        self._table, self._fields, self.name = table, fields, name

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @overload
    def __getitem__(self, index: int) -> Passage: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Passage]: ...

    def __getitem__(self, index: int | slice) -> Passage | Sequence[Passage]:
        """One example, or a part of the split."""
        if isinstance(index, slice):
            return Rows(self._table.select(range(*index.indices(len(self)))), self._fields, self.name)
        return passage(self._table[index], self._fields, f"{self.name}, row {index}")


def splits_of(dataset: str, config: str | None, fields: Fields) -> tuple[Rows, Rows | None]:
    """The training split of a data set, and the held-out one where it has any.

    Raises ValueError where the library is not installed, the data set cannot be had, or has no training split.
    """
    try:
        import datasets  # noqa: PLC0415 -- an optional extra
    except ImportError as error:
        raise ValueError(
            "data.source datasets needs the package datasets, which is not installed: "
            "pip install 'splitwire[datasets]', or pip install datasets"
        ) from error
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity_error()
    try:
        found = _loaded(datasets, dataset, config)
    except Exception as error:  # the library's own words, of many kinds: unknown, gated, no network, a broken file
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"data.dataset: {dataset!r} cannot be loaded: {first}") from error
    if "train" not in found:
        raise ValueError(f"data.dataset: {dataset!r} has no split train, only {', '.join(map(str, found))}")
    held_out = next((split for split in HELD_OUT if split in found), None)
    return (
        Rows(found["train"], fields, f"{dataset}, split train"),
        None if held_out is None else Rows(found[held_out], fields, f"{dataset}, split {held_out}"),
    )


def _loaded(datasets: Any, dataset: str, config: str | None) -> Any:  # noqa: ANN401 -- the library and its DatasetDict
    """The splits by name."""
    path = Path(dataset)
    if any((path / name).is_file() for name in SAVED):
        saved = datasets.load_from_disk(dataset)
        return saved if isinstance(saved, datasets.DatasetDict) else {"train": saved}
    if path.is_file():
        ending = path.name.removesuffix(".gz")
        loader = FORMATS.get(Path(ending).suffix)
        if loader is None:
            raise ValueError(f"a file must end in {', '.join(FORMATS)}")
        return datasets.load_dataset(loader, data_files=dataset)
    from simulator.training import hub  # noqa: PLC0415 -- its client takes long to import

    silent = None if path.is_dir() else hub.unreachable()
    if silent is None:
        return datasets.load_dataset(dataset, config)
    online, datasets.config.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE, True  # what is in the cache, at once
    try:
        return datasets.load_dataset(dataset, config)
    except Exception as error:
        raise ValueError(f"it is not in the local cache, and the hub cannot be reached ({silent})") from error
    finally:
        datasets.config.HF_HUB_OFFLINE = online
