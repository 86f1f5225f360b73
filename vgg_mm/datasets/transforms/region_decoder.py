"""Regions of JPEG files by nvImageCodec on the CPU, where it is installed."""

import contextlib
import functools
import importlib.util
import logging
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any, Optional

import numpy as np
from mmengine.logging import print_log

#: Decoders by process and thread, without GPU and threads of their own: a forked process makes its
#: own, and keeps its parent's untouched.
_decoders: dict[tuple[int, int], Any] = {}

_stderr_lock = threading.Lock()


@functools.cache
def is_installed() -> bool:
    """Whether there is an nvImageCodec to be imported."""
    try:
        return importlib.util.find_spec('nvidia.nvimgcodec') is not None
    except ModuleNotFoundError:  # not even a package 'nvidia'
        return False


@functools.cache
def announce() -> None:
    """Log once per process which decoder LoadImage(lazy=True) uses."""
    if is_installed():
        how = 'nvImageCodec decodes just the region that a crop needs'
    else:
        how = "OpenCV decodes them whole; faster, with nvImageCodec: pip install 'vgg_mm[fast]'"
    print_log(f'LoadImage(lazy=True): JPEG files at 1/2, 1/4 or 1/8 where crops allow; else {how}',
              logger='current')  # fmt: skip


def decode_region(content: bytes, rows: slice, columns: slice) -> Optional[np.ndarray]:
    """BGR uint8 (rows, columns, 3), the pixels that OpenCV gives; None where that fails."""
    codec = _import_codec() if is_installed() else None
    if codec is None:
        return None
    key = os.getpid(), threading.get_ident()
    if key not in _decoders:
        with silent_stderr():  # the first image loads what decodes it
            _decoders[key] = codec.Decoder(
                device_id=codec.NVIMGCODEC_DEVICE_CPU_ONLY,
                max_num_cpu_threads=1,
                backends=[codec.Backend(codec.BackendKind.CPU_ONLY)],
            )
    params = codec.DecodeParams(
        apply_exif_orientation=False, sample_format=codec.SampleFormat.I_BGR
    )
    region = codec.Region(rows.start, columns.start, rows.stop, columns.stop)
    try:
        stream = codec.CodeStream(content).get_sub_code_stream(region=region)
        image = _decoders[key].decode(stream, params=params)
    except (RuntimeError, ValueError):  # OpenCV decides on such files
        return None
    pixels = None if image is None else np.asarray(image)
    expected = (rows.stop - rows.start, columns.stop - columns.start, 3)
    return pixels if pixels is not None and pixels.shape == expected else None


@functools.cache
def _import_codec() -> Optional[Any]:
    # It reports each broken image on its own, and at import each GPU library that it misses.
    os.environ.setdefault('PYNVIMGCODEC_VERBOSITY', '0')
    try:
        with silent_stderr():
            from nvidia import nvimgcodec
    except ImportError as error:
        print_log(
            f'LoadImage(lazy=True): nvImageCodec cannot be imported, OpenCV decodes: {error}',
            logger='current',
            level=logging.WARNING,
        )
        return None
    return nvimgcodec


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Drop what libraries write to the process's standard error; one thread at a time."""
    with _stderr_lock:
        sys.stderr.flush()
        kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nothing, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nothing)
