"""The machine of a measurement, and the memory that it used."""

import os
import platform
import re
import subprocess
import sys
from importlib import metadata
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


def results_folder() -> Path:
    """The folder for raw numbers from this kind of machine."""
    folder = Path(__file__).parent / 'results' / ('gpu' if torch.cuda.is_available() else '')
    folder.mkdir(exist_ok=True)
    return folder


def describe(*packages: str) -> dict:
    """Processor, versions, and how busy the machine was (load of the last minute)."""
    # The distribution: of the fork, or of OpenMMLab.
    mmpretrain = metadata.packages_distributions()['mmpretrain'][0]
    models = re.findall(r'model name\s*: (.+)', Path('/proc/cpuinfo').read_text())
    return dict(
        cpu=models[0] if models else platform.machine(),
        cores=os.cpu_count(),
        load=round(os.getloadavg()[0], 2),
        python=platform.python_version(),
        **{name: metadata.version(name) for name in (mmpretrain, *packages)},
    )


def memory_held() -> int:
    """Peak memory in bytes: of the GPU, or without one of this process and its libraries."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    # Not getrusage: its maximum begins with that of the process that started this one.
    return _of_process('VmHWM')


def memory_held_by(*command: str) -> int:
    """Run a script; the number that it prints last is its :func:`memory_held`."""
    done = subprocess.run([sys.executable, *command], check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1])


def resident_memory() -> int:
    """Bytes of main memory that this process holds now."""
    return _of_process('VmRSS')


def _of_process(name: str) -> int:
    status = Path('/proc/self/status').read_text()
    return int(re.search(rf'{name}:\s+(\d+) kB', status)[1]) * 1024
