"""Which queues a role takes from, and how a slot of several queues is counted."""

from __future__ import annotations

from dataclasses import dataclass

from farm import kinds
from farm.roles import Slots, queues


def test_trainers_take_what_needs_no_gpu_and_cpu_workers_never_what_needs_one():
    assert queues("train") == ("train", "cpu")
    assert queues("cpu") == ("render", "cpu")
    assert set(queues("both")) == {"render", "train", "cpu"}
    assert queues("count") == ("count",)


def test_a_worker_for_both_is_a_slot_of_each_queue_until_one_has_it():
    slots = Slots([("render", 1), ("both", 1), ("both", 1), ("train", 1)])
    assert (slots.of("render"), slots.of("train")) == (3, 3)

    slots.take("render", 2)

    assert (slots.of("render"), slots.of("train")) == (1, 2)


def test_those_that_take_from_few_queues_are_used_first():
    slots = Slots([("both", 1), ("cpu", 0), ("render", 1)])

    slots.take("render", 2)

    assert (slots.of("render"), slots.of("train"), slots.of("cpu")) == (1, 1, 1)


def test_more_than_there_are_takes_all_there_are():
    slots = Slots([("render", 1)])

    slots.take("render", 7)

    assert slots.of("render") == 0


def test_a_job_that_asks_for_no_gpu_waits_where_workers_without_one_look():
    kind = kinds.load("evaluate")

    @dataclass(frozen=True)
    class Job:
        device: str

    assert kind.queue(Job("cpu")) == "cpu"
    assert kind.queue(Job("auto")) == kind.queue(Job("cuda:1")) == "train"
    assert kinds.load("render").queue(object()) == "render"


def test_a_task_of_several_gpus_wants_a_worker_that_has_them_or_none():
    slots = Slots([("train", 1), ("train", 4), ("train", 0)])

    assert slots.of("train", gpus=2) == 2
    slots.take("train", 2, gpus=2)

    assert slots.of("train") == 1
    assert slots.of("train", gpus=2) == 0
