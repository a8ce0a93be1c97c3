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


class Slots:
    """One for each worker; a worker that takes from several queues is a slot of each, until one
    of them has it."""

    def __init__(self, roles: Iterable[str]):
        self._free = Counter(roles)

    def of(self, queue: str) -> int:
        """How many are left for a queue."""
        return sum(number for role, number in self._free.items() if queue in queues(role))

    def take(self, queue: str, number: int) -> None:
        """Use so many for a queue, or all there are: those first that take from few others."""
        for role in sorted(self._free, key=lambda role: (len(queues(role)), role)):
            if queue in queues(role):
                taken = min(number, self._free[role])
                self._free[role] -= taken
                number -= taken
