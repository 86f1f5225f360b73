"""When faster forms of layers may run; otherwise torch's own layer runs."""

from typing import Any

import torch
import torch.nn as nn
from torch.autograd import forward_ad


class ScriptedAsPlain:
    """A faster form of a layer of torch, which TorchScript compiles as torch's own."""

    def __prepare_scriptable__(self) -> nn.Module:
        kind: Any = next(
            base for base in type(self).__mro__ if base.__module__.startswith('torch.')
        )
        plain = kind.__new__(kind)
        plain.__dict__ = self.__dict__.copy()
        return plain


def can_accelerate(*tensors: torch.Tensor) -> bool:
    """Whether the tensors are plain and dense, and nothing records or transforms operations.

    That excludes compiling, exporting and tracing; ``torch.func`` and forward-mode differentiation;
    dispatch modes, which count or replace operations; tensors of other classes (``torch.fx``'s
    proxies, ``DTensor``) or layouts, and batches of gradients.
    """
    return (
        # First: the compiler then skips the rest.
        not torch.compiler.is_compiling()
        and all(type(t) in (torch.Tensor, nn.Parameter) for t in tensors)
        and all(_is_dense(t) for t in tensors)
        and not torch.jit.is_tracing()
        and not torch._C._are_functorch_transforms_active()
        and not torch._C._len_torch_dispatch_stack()
        and forward_ad._current_level < 0
    )


def _is_dense(tensor: torch.Tensor) -> bool:
    """Whether it is a dense tensor on a CPU or GPU, not wrapped by ``torch.func``."""
    keys = torch._C._dispatch_keys(tensor)
    return keys.has(torch._C.DispatchKey.CPU) or keys.has(torch._C.DispatchKey.CUDA)


def has_hooks(module: nn.Module) -> bool:
    """Whether hooks, or a ``forward`` of its own, may keep the module's input or output."""
    hooks = ('_forward_hooks', '_forward_pre_hooks', '_backward_hooks', '_backward_pre_hooks')
    return (
        any(getattr(module, name) for name in hooks)
        or 'forward' in vars(module)
        or bool(nn.modules.module._has_any_global_hook())
    )
