"""Files of the safetensors library."""

from safetensors import SafetensorError, safe_open

from . import File, meta_of


def read(path: str) -> File:
    """The weights, and the pre-processing and classes recorded by this package's exports."""
    try:
        with safe_open(path, framework='pt') as file:
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            notes = file.metadata() or {}
        return File(weights, meta_of(notes))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise ValueError(f'{path} is truncated or no safetensors file: {error}') from error
