"""Safe stand-ins for what a checkpoint may contain beyond tensors and plain containers.

numpy's own functions trust a pickle: the state of a dtype can declare plain bytes to be pointers to
objects. mmengine's HistoryBuffer takes functions for its class from a pickle. Both get stand-ins
here that take numbers, strings and nothing else.
"""

import pickle
import re
import sys
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Iterator
from pickle import UnpicklingError
from typing import IO, Any, Optional

import numpy as np
import torch
import torch.nn as nn
from mmengine.logging import HistoryBuffer

#: The functions that mmengine pickles with each of its log buffers.
STATISTICS_METHODS = ('min', 'max', 'current', 'mean')

#: Booleans, numbers, strings: the dtypes whose content is no pointer.
_PLAIN_DTYPE = re.compile(r'[biufcSU]\d+')


class _Dtype:
    """Stands in for ``numpy.dtype``."""

    dtype: Any  # a numpy.dtype, or None before its state is there

    def __init__(self, spec: str, align: bool = False, copy: bool = True):
        if not isinstance(spec, str) or not _PLAIN_DTYPE.fullmatch(spec):
            raise UnpicklingError(f'it refers to a numpy array of type {spec!r}')
        self.dtype = np.dtype(spec)

    def __setstate__(self, state: tuple) -> None:
        """Of a dtype's state (version, byte order, subtype, names, fields, ...) the order."""
        if state[2:5] != (None, None, None):
            raise UnpicklingError('it refers to a structured numpy array')
        self.dtype = self.dtype.newbyteorder(state[1])

    def __reduce__(self) -> tuple:
        return self.dtype.__reduce__()


class _Array(np.ndarray):
    """Stands in for ``numpy.ndarray``; pickled again it is one."""

    def __new__(cls, *args: Any) -> Any:
        raise UnpicklingError('it refers to a numpy array by its constructor')

    def __setstate__(self, state: tuple) -> None:
        version, shape, dtype, fortran, content = state
        if type(content) is str:  # Python 2's bytes
            content = content.encode('latin1')
        if not isinstance(dtype, _Dtype) or dtype.dtype is None or type(content) is not bytes:
            raise UnpicklingError('it refers to a numpy array of objects')
        super().__setstate__((version, shape, dtype.dtype, fortran, content))

    def __reduce__(self) -> Any:
        return self.view(np.ndarray).__reduce__()


def _reconstruct(kind: type, shape: tuple, code: bytes) -> np.ndarray:
    """Stands in for numpy's: an empty array, to be filled by ``_Array.__setstate__``."""
    return np.ndarray.__new__(_Array, (0,), 'i1')


def _scalar(dtype: _Dtype, content: bytes) -> np.generic:
    if type(content) is str:
        content = content.encode('latin1')
    if not isinstance(dtype, _Dtype) or dtype.dtype is None or type(content) is not bytes:
        raise UnpicklingError('it refers to a numpy object')
    (value,) = np.frombuffer(content, dtype.dtype)
    return value


def _no_bytes() -> bytes:
    """Stands in for ``bytes``, which is called for the content of an empty array."""
    return b''


class _Buffer(HistoryBuffer):
    """Becomes a HistoryBuffer of the numbers in the state; functions in it are left out."""

    def __init__(self):
        raise UnpicklingError('it refers to a HistoryBuffer by its constructor')

    def __setstate__(self, state: dict) -> None:
        values, counts = state['_log_history'], state['_count_history']
        length = state['max_length']
        arrays = all(type(a) is _Array and a.dtype.kind in 'biuf' for a in (values, counts))
        if not arrays or type(length) is not int:
            raise UnpicklingError('it refers to a HistoryBuffer that does not contain numbers')
        self.__class__ = HistoryBuffer
        HistoryBuffer.__init__(self, values.view(np.ndarray), counts.view(np.ndarray), length)


def _method_name(owner: Any, name: str) -> str:
    """Stands in for ``getattr``, with which HistoryBuffer's functions are pickled."""
    if owner is _Buffer and name in STATISTICS_METHODS:
        return name
    owner_name = HistoryBuffer.__name__ if owner is _Buffer else type(owner).__name__
    raise UnpicklingError(f'it refers to attribute {name!r} of {owner_name}')


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


# Whole modules, and other objects of training scripts (argparse.Namespace): classes that a file
# names, of which only the content of an instance is used.

#: What a file may name in addition to the classes of projects and other libraries. Everything else
#: of Python, torch, numpy and mmengine is refused, since no net needs it.
_HARMLESS = re.compile(
    r'argparse\.Namespace|types\.SimpleNamespace|collections\.defaultdict'
    r'|pathlib(\._local)?\.(Pure)?(Posix|Windows)?Path|torch\.nn\.[\w.]*[A-Z]\w*|__main__\.\w+'
)
_REFUSED = {*sys.stdlib_module_names, *sys.builtin_module_names} | {
    '__builtin__', '__builtins__', 'numpy', 'scipy', 'torch', 'mmengine',
}  # fmt: skip
# Python 2's names for its own.
_REFUSED |= {name.split('.')[0] for name in (*IMPORT_MAPPING, *(m for m, _ in NAME_MAPPING))}

#: Classes that a file may name, and modules within modules.
MAX_CLASSES, MAX_DEPTH = 200, 50


class Inert:
    """Stands in for a class that a file names: instances store their state and do nothing."""

    def __new__(cls, *args: Any) -> Any:
        return super().__new__(cls)

    def __init__(self, *args: Any):
        """Ignores the arguments; the state follows."""

    def __setstate__(self, state: Any) -> None:
        self.__dict__['state'] = state


class InertDict(Inert):
    """Stands in for a kind of dict; becomes a plain one."""

    def __new__(cls, *args: Any) -> Any:
        return {}


def inert(name: str) -> Optional[tuple[type, str]]:
    """A stand-in for a class, as ``safe_globals`` takes it; None if the name is refused."""
    if not re.fullmatch(r'\w+(\.\w+)+', name):
        return None
    if not _HARMLESS.fullmatch(name) and name.split('.')[0] in _REFUSED:
        return None
    is_dict = name.lower().endswith('dict') and not name.startswith('torch.')
    return type(name.rpartition('.')[2], (InertDict if is_dict else Inert,), {}), name


def without_stand_ins(checkpoint: Any) -> Any:
    """A checkpoint with the weights of modules in it in their place, and plain values for the rest.

    A whole module becomes a checkpoint with its ``state_dict``.
    """
    weights = weights_in(checkpoint)
    if weights is not None:
        return dict(state_dict=weights)
    if type(checkpoint) is not dict:
        return checkpoint
    for name, value in checkpoint.items():
        weights = weights_in(value)
        if weights is not None:
            checkpoint[name] = weights
        elif isinstance(value, Inert):
            state = value.__dict__.get('state')
            checkpoint[name] = state if isinstance(state, dict) else type(value).__name__
    return checkpoint


def weights_in(module: Any) -> Optional[dict[str, torch.Tensor]]:
    """The state dict of a module, real or a stand-in; None if it is no module."""
    if isinstance(module, nn.Module):
        return dict(module.state_dict())
    return dict(_tensors(module, '', 0)) if _is_module(module) else None


def _is_module(value: Any) -> bool:
    state = getattr(value, '__dict__', {}).get('state') if isinstance(value, Inert) else None
    return isinstance(state, dict) and isinstance(state.get('_modules'), dict)


def _tensors(module: Any, prefix: str, depth: int) -> Iterator[tuple[str, torch.Tensor]]:
    if not _is_module(module) or depth > MAX_DEPTH:
        return
    state = module.__dict__['state']
    for kind in ('_parameters', '_buffers'):
        for name, tensor in dict(state.get(kind) or {}).items():
            if isinstance(tensor, torch.Tensor):
                yield f'{prefix}{name}', tensor.detach()
    for name, child in state['_modules'].items():
        yield from _tensors(child, f'{prefix}{name}.', depth + 1)


# A .npy file of a dict: one pickle of an array with one object in it.


class _DtypeOrObject(_Dtype):
    """Stands in for ``numpy.dtype``, also where the items are objects."""

    def __init__(self, spec: str, align: bool = False, copy: bool = True):
        if spec in ('O', 'O4', 'O8'):
            self.dtype = None
        else:
            super().__init__(spec, align, copy)

    def __setstate__(self, state: tuple) -> None:
        if self.dtype is not None:
            super().__setstate__(state)


class ArrayOrObjects(_Array):
    """Stands in for ``numpy.ndarray``. Objects are kept as the list that the pickle has of them:
    no bytes become pointers."""

    objects: Optional[list] = None

    def __setstate__(self, state: tuple) -> None:
        _, _, dtype, _, content = state
        if isinstance(dtype, _DtypeOrObject) and dtype.dtype is None and type(content) is list:
            self.objects = content
        else:
            super().__setstate__(state)


def _reconstruct_either(kind: type, shape: tuple, code: bytes) -> np.ndarray:
    return np.ndarray.__new__(ArrayOrObjects, (0,), 'i1')


#: The classes and functions that a pickle of arrays may name, and their stand-ins.
_OF_ARRAYS = {
    'numpy.ndarray': ArrayOrObjects,
    'numpy.dtype': _DtypeOrObject,
    'collections.OrderedDict': dict,
    '_codecs.encode': lambda text, encoding: str(text).encode('latin1'),
    **{
        f'numpy.{core}.multiarray.{name}': stand_in
        for core in ('core', '_core')
        for name, stand_in in (('_reconstruct', _reconstruct_either), ('scalar', _scalar))
    },
}


class _Unpickler(pickle._Unpickler):  # Python's own: the one in C trusts the sizes in a file
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _OF_ARRAYS[f'{module}.{name}']
        except KeyError:
            raise UnpicklingError(f'it refers to {module}.{name}'[:200]) from None

    dispatch = dict(pickle._Unpickler.dispatch)

    stack: list  # Python's own, which has no types

    def load_build(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], (ArrayOrObjects, _DtypeOrObject)):
            raise UnpicklingError('it refers to the state of something that is not an array')
        self.stack[-1].__setstate__(state)

    dispatch[pickle.BUILD[0]] = load_build  # type: ignore[assignment]

    def get_extension(self, code: int) -> None:
        raise UnpicklingError('it refers to a registered extension')


def unpickle_arrays(file: IO[bytes]) -> Any:
    """A pickle of arrays, plain containers and plain values; of Python 2, too.

    Raises:
        UnpicklingError: if it refers to anything else, or is none.
    """
    try:
        return _Unpickler(file, encoding='latin1').load()
    except UnpicklingError:
        raise
    except Exception as error:
        # A wrong file makes the unpickler raise errors of any kind.
        raise UnpicklingError(f'it is no pickle of arrays: {error}'[:200]) from error
