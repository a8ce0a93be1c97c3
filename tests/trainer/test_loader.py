"""Step s of a run is the same batch however it is reached, and by however many processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.random import Generator

from renderer.shards import Dataset, decode_member
from tests.trainer.datasets import make_dataset
from trainer.data import Reader, Snapshot
from trainer.errors import DatasetRefused
from trainer.loader import Loader, ordered


class Numbers:
    """Examples of every type, that tell their index and their chance."""

    def __init__(self, count: int):
        self.count = count

    def __len__(self) -> int:
        return self.count

    def get(self, index: int, rng: Generator) -> Mapping[str, Any]:
        return {
            "key": f"number-{index}",
            "index": index,
            "chance": float(rng.random()),
            "even": index % 2 == 0,
            "small": np.float32(index / 7),
            "bytes": rng.integers(0, 256, (3, 5, 2), dtype=np.uint8),
            "depth": np.full((2, 3), 65000 + index, np.uint16),
            "turned": np.arange(12, dtype=np.float32).reshape(3, 4).T + index,
        }


class Pictures:
    """A random view of each shape, cut at random."""

    def __init__(self, folder: Path):
        snapshot = Snapshot.take([folder])
        self.reader, self.items = Reader(snapshot), snapshot.items("train")

    def __len__(self) -> int:
        return len(self.items)

    def get(self, index: int, rng: Generator) -> Mapping[str, Any]:
        image = self.reader.image(self.items[index], int(rng.integers(5)))
        x, y = rng.integers(0, 8, 2)
        return {"key": self.items[index].key, "image": image[y : y + 24, x : x + 24]}


class Failing(Numbers):
    def __init__(self, count: int, fail: Callable[[], object], at: int):
        super().__init__(count)
        self.fail, self.at = fail, at

    def get(self, index: int, rng: Generator) -> Mapping[str, Any]:
        if index == self.at:
            self.fail()
        return super().get(index, rng)


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dataset(tmp_path_factory.mktemp("data"), splits={"train": 7}, points=0)


def take(loader: Loader, start: int, stop: int) -> list[dict[str, Any]]:
    return list(loader.batches(start, stop))


def assert_same(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert list(one) == list(other)
        for name, value in other.items():
            if isinstance(value, torch.Tensor):
                assert one[name].dtype == value.dtype and torch.equal(one[name], value), name
                assert one[name].is_contiguous()
            else:
                assert one[name] == value, name


class TestBatches:
    def test_have_arrays_and_numbers_as_tensors_and_strings_as_lists(self) -> None:
        (batch,) = take(Loader(Numbers(20), batch=4, seed=1), 0, 1)

        assert {name: value.dtype for name, value in batch.items() if name != "key"} == {
            "index": torch.int64, "chance": torch.float64, "even": torch.bool,
            "small": torch.float32, "bytes": torch.uint8, "depth": torch.uint16,
            "turned": torch.float32,
        }  # fmt: skip
        assert batch["bytes"].shape == (4, 3, 5, 2) and batch["turned"].shape == (4, 4, 3)
        assert batch["key"] == [f"number-{n}" for n in batch["index"].tolist()]

    @pytest.mark.parametrize("workers", [1, 3])
    def test_are_the_same_from_loader_processes(self, workers: int) -> None:
        alone = take(Loader(Numbers(23), batch=4, seed=5), 0, 17)

        assert_same(take(Loader(Numbers(23), batch=4, seed=5, workers=workers), 0, 17), alone)

    def test_of_pictures_are_the_same_from_loader_processes(self, blocks: Path) -> None:
        alone = take(Loader(Pictures(blocks), batch=4, seed=5), 0, 9)

        assert_same(take(Loader(Pictures(blocks), batch=4, seed=5, workers=2), 0, 9), alone)
        assert alone[0]["image"].float().std() > 10

    @pytest.mark.parametrize("workers", [0, 2])
    def test_are_the_same_from_any_step_on(self, workers: int) -> None:
        whole = take(Loader(Numbers(23), batch=4, seed=5), 0, 17)
        loader = Loader(Numbers(23), batch=4, seed=5, workers=workers)

        for start in (1, 4, 5, 11, 16):
            assert_same(take(loader, start, 17), whole[start:])
        assert take(loader, 17, 17) == []

    @pytest.mark.parametrize("workers", [0, 2])
    def test_stay_as_they_were_when_others_are_read(self, workers: int) -> None:
        loader = Loader(Numbers(40), batch=4, seed=5, workers=workers)
        kept, copies = [], []
        for batch in loader.batches(0, 12):
            kept.append(batch)
            copies.append({n: v.clone() if n != "key" else list(v) for n, v in batch.items()})

        assert_same(kept, copies)

    def test_have_no_end_without_a_last_step(self) -> None:
        batches = Loader(Numbers(4), batch=2, seed=0).batches(3)
        assert len([next(batches) for _ in range(50)]) == 50

    def test_of_other_shapes_than_the_first_example_come_too(self) -> None:
        class Growing(Numbers):
            def get(self, index: int, rng: Generator) -> Mapping[str, Any]:
                return {"ones": np.ones(index // 4 + 1), "kind": np.ones(1, f"i{1 + index // 4}")}

        wanted = list(ordered(Growing(8), batch=4))
        assert [batch["ones"].shape for batch in wanted] == [(4, 1), (4, 2)]
        assert_same(list(ordered(Growing(8), batch=4, workers=2)), wanted)


class TestOrder:
    def test_every_epoch_has_every_example_once_in_an_order_of_its_own(self) -> None:
        loader = Loader(Numbers(24), batch=4, seed=5)
        assert loader.steps_per_epoch == 6
        indices = torch.cat([batch["index"] for batch in loader.batches(0, 18)]).view(3, 24)

        assert all(sorted(epoch) == list(range(24)) for epoch in indices.tolist())
        assert len({tuple(epoch) for epoch in indices.tolist()}) == 3

    def test_what_fills_no_batch_is_left_out_and_another_in_every_epoch(self) -> None:
        loader = Loader(Numbers(23), batch=4, seed=5)
        assert loader.steps_per_epoch == 5
        epochs = torch.cat([batch["index"] for batch in loader.batches(0, 40)]).view(8, 20)

        assert all(len(set(epoch)) == 20 for epoch in epochs.tolist())
        assert len(set(epochs.flatten().tolist())) == 23

    def test_depends_on_the_seed_and_so_does_each_examples_chance(self) -> None:
        one, other, same = (take(Loader(Numbers(24), batch=24, seed=s), 0, 1)[0] for s in (1, 2, 1))

        assert one["key"] == same["key"] != other["key"]
        assert torch.equal(one["chance"], same["chance"])
        at = {name: dict(zip(b["key"], b["chance"].tolist(), strict=True)) for name, b in
              (("one", one), ("other", other))}  # fmt: skip
        assert all(at["one"][key] != at["other"][key] for key in at["one"])

    def test_an_examples_chance_differs_from_epoch_to_epoch(self) -> None:
        first, second = take(Loader(Numbers(8), batch=8, seed=0), 0, 2)
        assert set(first["chance"].tolist()).isdisjoint(second["chance"].tolist())

    def test_does_not_touch_the_generator_of_the_model(self) -> None:
        for workers in (0, 2):
            torch.manual_seed(3)
            before = torch.get_rng_state()
            take(Loader(Numbers(8), batch=4, seed=0, workers=workers), 0, 3)
            assert torch.equal(torch.get_rng_state(), before)


class TestRanks:
    @pytest.mark.parametrize("workers", [0, 2])
    def test_take_their_parts_of_the_whole_batch(self, workers: int) -> None:
        whole = take(Loader(Numbers(25), batch=6, seed=5), 2, 9)
        parts = [
            take(Loader(Numbers(25), batch=6, seed=5, workers=workers, rank=r, world=3), 2, 9)
            for r in range(3)
        ]

        for number, batch in enumerate(whole):
            shares = [part[number] for part in parts]
            assert [len(share["key"]) for share in shares] == [2, 2, 2]
            assert [key for share in shares for key in share["key"]] == batch["key"]
            joined = torch.cat([share["chance"] for share in shares])
            assert torch.equal(joined, batch["chance"])


class TestOrdered:
    @pytest.mark.parametrize("workers", [0, 1, 2, 9])
    @pytest.mark.parametrize(("count", "batch"), [(10, 4), (8, 4), (3, 4), (1, 1), (0, 4)])
    def test_gives_every_example_once_in_order(self, count: int, batch: int, workers: int) -> None:
        found = list(ordered(Numbers(count), batch=batch, workers=workers))

        assert [key for each in found for key in each["key"]] == [
            f"number-{n}" for n in range(count)
        ]
        assert [len(each["key"]) for each in found[:-1]] == [batch] * (len(found) - 1)
        assert_same(found, list(ordered(Numbers(count), batch=batch)))


class TestRefusals:
    def test_a_set_smaller_than_a_batch_is_told_with_a_batch_that_fits(self) -> None:
        with pytest.raises(ValueError, match=r"--batch 8 .* 7 examples of the set; try --batch 6"):
            Loader(Numbers(7), batch=8, seed=0, world=2)

    @pytest.mark.parametrize(("batch", "world", "fits"), [(7, 2, 8), (0, 1, 1), (0, 4, 4)])
    def test_a_batch_that_cannot_be_shared_is_told_with_one_that_can(
        self, batch: int, world: int, fits: int
    ) -> None:
        with pytest.raises(ValueError, match=f"{world} processes; try --batch {fits}"):
            Loader(Numbers(100), batch=batch, seed=0, world=world)

    @pytest.mark.parametrize("workers", [0, 2])
    def test_a_refused_dataset_is_one_line_from_loader_processes_too(self, workers: int) -> None:
        def refuse() -> None:
            raise DatasetRefused("cars/train-000001.tar was changed")

        examples = Failing(8, refuse, at=5)
        with pytest.raises(DatasetRefused) as caught:
            list(ordered(examples, batch=2, workers=workers))
        assert str(caught.value) == "cars/train-000001.tar was changed"
        assert multiprocessing.active_children() == []

    @pytest.mark.parametrize("workers", [0, 2])
    def test_other_errors_keep_their_type(self, workers: int) -> None:
        examples = Failing(8, lambda: {}["colour"], at=5)
        with pytest.raises(KeyError, match="colour"):
            list(ordered(examples, batch=2, workers=workers))

    @pytest.mark.parametrize("workers", [0, 2])
    def test_what_does_not_stack_is_named(self, workers: int) -> None:
        class Uneven(Numbers):
            def get(self, index: int, rng: Generator) -> Mapping[str, Any]:
                return {"image": np.zeros((2, 2 + index % 2))}

        with pytest.raises(
            ValueError, match=r"'image' of the examples does not stack \(\(2, 2\), "
        ):
            list(ordered(Uneven(8), batch=2, workers=workers))


class TestProcesses:
    def test_one_that_dies_ends_the_run_with_an_error(self) -> None:
        def die() -> None:
            if multiprocessing.parent_process():
                os.kill(os.getpid(), signal.SIGKILL)

        with pytest.raises(RuntimeError, match=r"worker .* (killed|exited)"):
            list(ordered(Failing(8, die, at=5), batch=2, workers=2))

    def test_none_is_left_when_reading_stops_early(self) -> None:
        before = set(multiprocessing.active_children())
        batches = Loader(Numbers(40), batch=4, seed=5, workers=2).batches()
        next(batches)
        assert len(set(multiprocessing.active_children()) - before) == 2
        batches.close()  # type: ignore[attr-defined]

        assert set(multiprocessing.active_children()) <= before


# webdataset leaves the files that it has read to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("workers", [0, 2])
def test_webdataset_brings_shards_to_torch_with_all_16_bits(tmp_path: Path, workers: int) -> None:
    webdataset = pytest.importorskip("webdataset")
    make_dataset(tmp_path, views=2, passes=("rgba", "depth", "normal"), per_shard=2)
    train = Dataset(tmp_path, "train")
    shards = [str(tmp_path / shard["name"]) for shard in train.shards]
    names = ("00.rgba.png", "01.depth.png", "00.normal.png", "points.npy")
    pipeline = (
        webdataset.WebDataset(shards, shardshuffle=False)
        .decode(decode_member)
        .to_tuple("__key__", *names)
        .batched(2, partial=True)
    )

    loader = torch.utils.data.DataLoader(pipeline, batch_size=None, num_workers=workers)
    found = {
        key: dict(zip(names, arrays, strict=True))
        for keys, *batches in loader
        for key, *arrays in zip(keys, *batches, strict=True)
    }

    assert len(found) == len(train) == 8
    for sample in train:
        for name in names:
            tensor = torch.as_tensor(found[sample.key][name])
            assert torch.equal(tensor, torch.from_numpy(sample.decode(name))), name
    depth = torch.stack([torch.as_tensor(f["01.depth.png"]) for f in found.values()])
    assert depth.dtype == torch.uint16 and len((depth.int() % 256).unique()) > 50
