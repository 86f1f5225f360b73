"""Which weights of a model depend on the number of classes."""

from typing import Any

import torch
from mmengine.registry import MODELS

Shape = tuple[int, ...]


def class_dependent_shapes(model: dict) -> dict[str, tuple[Shape, Shape]]:
    """The weights whose shapes another number of classes changes.

    Of any model of OpenMMLab's: its config is built twice, without memory, as it is and with each
    ``num_classes`` in it one larger.

    Args:
        model: The model's config.

    Returns:
        name -> its shape, and that for one class more. Empty where the model cannot be built so.
    """
    if not model:
        return {}
    try:
        with torch.device('meta'):
            here, more = (_shapes(_more_classes(model, extra)) for extra in (0, 1))
    except (RuntimeError, NotImplementedError):  # what torch has no "meta" form of
        return {}
    return {n: (here[n], more[n]) for n in here.keys() & more.keys() if here[n] != more[n]}


def fits_but_for_classes(found: Shape, shapes: tuple[Shape, Shape]) -> bool:
    """Whether a weight of this shape is that of the model for some number of classes."""
    here, more = shapes
    return len(found) == len(here) and all(
        side == wanted or wanted != other for side, wanted, other in zip(found, here, more)
    )


def _shapes(model: dict) -> dict[str, Shape]:
    return {name: tuple(tensor.shape) for name, tensor in MODELS.build(model).state_dict().items()}


def _more_classes(node: Any, extra: int) -> Any:
    """A copy of a config with that many classes more."""
    if isinstance(node, dict):
        return type(node)(
            {
                key: value + extra
                if key == 'num_classes' and isinstance(value, int)
                else _more_classes(value, extra)
                for key, value in node.items()
            }
        )
    if isinstance(node, (list, tuple)):
        return type(node)(_more_classes(value, extra) for value in node)
    return node
