"""What a measurement ran on, and the most memory that it took."""

import platform
import re
from pathlib import Path

import torch


def device() -> str:
    """Where models run: 'cuda' or 'cpu'."""
    return 'cuda' if torch.cuda.is_available() else 'cpu'


def device_name() -> str:
    """The GPU, or the processor with the widest instructions that torch uses."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f'{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}'


def memory_held() -> int:
    """Most bytes that the GPU, or without one this process, has held; libraries included."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    # Not getrusage: its maximum begins with that of the process that started this one.
    status = Path('/proc/self/status').read_text()
    return int(re.search(r'VmHWM:\s+(\d+) kB', status)[1]) * 1024
