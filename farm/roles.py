"""What a worker's role means: the queues it takes from, and the slots that this gives each queue.

render   renders; with a GPU, else with Cycles on the CPU
train    takes what trainer/ does: training, evaluation, stylizing, segments
both     takes either, with one GPU and one child program at a time
cpu      sees no GPU: renders on the CPU, and takes the jobs of trainer/ that say `--device cpu`

A job that says `--device cpu` waits in the queue `cpu`, which trainers take from too.  Any other
role takes from the queue of its own name: that of a kind whose ROLE it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

RENDER, TRAIN, BOTH, CPU = "render", "train", "both", "cpu"
ROLES = (RENDER, TRAIN, BOTH, CPU)
QUEUES = {TRAIN: (TRAIN, CPU), BOTH: (RENDER, TRAIN, CPU), CPU: (RENDER, CPU)}


def queues(role: str) -> tuple[str, ...]:
    """The queues that workers of a role take from."""
    return QUEUES.get(role, (role,))


def has_enough(gpus: int, wanted: int) -> bool:
    """Whether a worker with so many GPUs can do what wants so many.

    One without any can: several processes then share its CPU.
    """
    return gpus == 0 or gpus >= wanted


class Slots:
    """One for each worker; a worker that takes from several queues is a slot of each, until one
    of them has it."""

    def __init__(self, workers: Iterable[tuple[str, int]]):
        """workers: role and number of GPUs of each."""
        self._free = Counter(workers)

    def of(self, queue: str, gpus: int = 1) -> int:
        """How many are left for a queue's tasks that want so many GPUs."""
        return sum(self._free[kind] for kind in self._fitting(queue, gpus))

    def take(self, queue: str, number: int, gpus: int = 1) -> None:
        """Use so many, or all there are: those first that could do little else."""
        for kind in self._fitting(queue, gpus):
            taken = min(number, self._free[kind])
            self._free[kind] -= taken
            number -= taken

    def _fitting(self, queue: str, gpus: int) -> list[tuple[str, int]]:
        fitting = [
            (role, has)
            for role, has in self._free
            if queue in queues(role) and has_enough(has, gpus)
        ]
        return sorted(fitting, key=lambda kind: (len(queues(kind[0])), kind))
