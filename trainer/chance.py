"""Where chance in training comes from: every step is a function of the run's seed and its number.

So a run that goes on from a checkpoint repeats to the bit what it would have done, dropout and all,
and no state of a generator is ever kept.
"""

from __future__ import annotations

import numpy as np
import torch

BUILD, STEP, MOMENT = 0, 1, 2


def seed(*numbers: int) -> int:
    """63 bits that depend on all of these numbers (numpy's SeedSequence mixes them)."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def begin(run_seed: int) -> None:
    """Seed torch for building a network: the same on every process."""
    torch.manual_seed(seed(run_seed, BUILD))


def at(run_seed: int, step: int, rank: int) -> torch.Generator:
    """Seed torch for one step on one process; another generator, on the CPU, for the loss."""
    torch.manual_seed(seed(run_seed, STEP, step, rank))
    return torch.Generator().manual_seed(seed(run_seed, MOMENT, step, rank))
