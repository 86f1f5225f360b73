"""Random draws that depend only on their purpose, not on earlier draws."""

import random

import numpy as np
import torch

#: What draws are for; keeps (seed, epoch, index) and (seed, rank, iteration) apart.
FOR_SAMPLE, FOR_ITERATION = 0, 1


def seed_draws(*numbers: int) -> None:
    """Seed the generators of ``random``, numpy and torch (CPU and GPUs) from these numbers.

    Args:
        numbers: Non-negative integers, e.g. (FOR_SAMPLE, seed, epoch, index).
    """
    words = np.random.SeedSequence(numbers).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    # torch.manual_seed does the same, but takes 0.2 ms to check for every kind of device.
    torch.default_generator.manual_seed(int(words[2]))
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(int(words[2]))
