"""What a checkpoint may hold beyond tensors and plain containers, rebuilt under control.

numpy's own functions trust a pickle: the state of a dtype can declare plain bytes to be pointers to
objects. mmengine's HistoryBuffer takes functions for its class from a pickle. Both get stand-ins
here that take numbers, strings and nothing else.
"""

import re
from pickle import UnpicklingError
from typing import Any

import numpy as np
from mmengine.logging import HistoryBuffer

#: The functions that mmengine pickles with each of its log buffers.
STATISTICS_METHODS = ('min', 'max', 'current', 'mean')

#: Booleans, numbers, strings: the dtypes whose content is no pointer.
_PLAIN_DTYPE = re.compile(r'[biufcSU]\d+')


class _Dtype:
    """Stands in for ``numpy.dtype``."""

    def __init__(self, spec: str, align: bool = False, copy: bool = True):
        if not isinstance(spec, str) or not _PLAIN_DTYPE.fullmatch(spec):
            raise UnpicklingError(f'it asks for a numpy array of type {spec!r}')
        self.dtype = np.dtype(spec)

    def __setstate__(self, state: tuple) -> None:
        """Of a dtype's state (version, byte order, subtype, names, fields, ...) the order."""
        if state[2:5] != (None, None, None):
            raise UnpicklingError('it asks for a structured numpy array')
        self.dtype = self.dtype.newbyteorder(state[1])

    def __reduce__(self) -> tuple:
        return self.dtype.__reduce__()


class _Array(np.ndarray):
    """Stands in for ``numpy.ndarray``; pickled again it is one."""

    def __new__(cls, *args: Any) -> 'np.ndarray':
        raise UnpicklingError('it asks for a numpy array by its constructor')

    def __setstate__(self, state: tuple) -> None:
        version, shape, dtype, fortran, content = state
        if type(dtype) is not _Dtype or type(content) is not bytes:
            raise UnpicklingError('it asks for a numpy array of objects')
        super().__setstate__((version, shape, dtype.dtype, fortran, content))

    def __reduce__(self) -> tuple:
        return self.view(np.ndarray).__reduce__()


def _reconstruct(kind: type, shape: tuple, code: bytes) -> np.ndarray:
    """Stands in for numpy's: an empty array, to be filled by ``_Array.__setstate__``."""
    return np.ndarray.__new__(_Array, (0,), 'i1')


def _scalar(dtype: _Dtype, content: bytes) -> np.generic:
    if type(dtype) is not _Dtype or type(content) is not bytes:
        raise UnpicklingError('it asks for a numpy object')
    (value,) = np.frombuffer(content, dtype.dtype)
    return value


def _no_bytes() -> bytes:
    """Stands in for ``bytes``, which is called for the content of an empty array."""
    return b''


class _Buffer(HistoryBuffer):
    """Becomes a HistoryBuffer of the numbers in the state; functions in it are left out."""

    def __init__(self):
        raise UnpicklingError('it asks for a HistoryBuffer by its constructor')

    def __setstate__(self, state: dict) -> None:
        values, counts = state['_log_history'], state['_count_history']
        length = state['max_length']
        arrays = all(type(a) is _Array and a.dtype.kind in 'biuf' for a in (values, counts))
        if not arrays or type(length) is not int:
            raise UnpicklingError('it asks for a HistoryBuffer that does not hold numbers')
        self.__class__ = HistoryBuffer
        HistoryBuffer.__init__(self, values.view(np.ndarray), counts.view(np.ndarray), length)


def _method_name(owner: Any, name: str) -> str:
    """Stands in for ``getattr``, with which HistoryBuffer's functions are pickled."""
    if owner is _Buffer and name in STATISTICS_METHODS:
        return name
    owner_name = HistoryBuffer.__name__ if owner is _Buffer else type(owner).__name__
    raise UnpicklingError(f'it asks for attribute {name!r} of {owner_name}')


def allowed_globals() -> list[Any]:
    """Stand-ins and the names in a file that they are for, as ``safe_globals`` takes them."""
    return [
        (_Buffer, 'mmengine.logging.history_buffer.HistoryBuffer'),
        (_method_name, 'builtins.getattr'),
        (_no_bytes, 'builtins.bytes'),
        (_Array, 'numpy.ndarray'),
        (_Dtype, 'numpy.dtype'),
        # numpy 2 writes _core, numpy 1 core.
        (_reconstruct, 'numpy._core.multiarray._reconstruct'),
        (_reconstruct, 'numpy.core.multiarray._reconstruct'),
        (_scalar, 'numpy._core.multiarray.scalar'),
        (_scalar, 'numpy.core.multiarray.scalar'),
    ]
