"""One thread: sums come in the same order, and tests side by side do not fight for the cores."""

import torch

torch.set_num_threads(1)
