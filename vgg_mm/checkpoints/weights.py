"""What the readers of checkpoints have in common."""

from collections.abc import Sequence

import torch

from .preprocessing import META_KEY, ORIGIN_KEY

#: How many of the weights that do not fit an error names.
NAMED = 3

Weights = dict[str, torch.Tensor]


def weights_of(checkpoint: dict, required: bool = True) -> dict[str, torch.Tensor]:
    """The state dict in a checkpoint, or the checkpoint itself if it is one.

    Args:
        checkpoint: As read. torchvision's and timm's training scripts say ``model`` where mmengine
            says ``state_dict``.
        required: Whether it is an error if there is no tensor in it.

    Raises:
        ValueError: if there is no tensor in it.
    """
    state = checkpoint.get('state_dict', checkpoint)
    if state is checkpoint and isinstance(checkpoint.get('model'), dict):
        state = checkpoint['model']
    weights = {
        name.removeprefix('module.'): value
        for name, value in state.items()
        if isinstance(value, torch.Tensor)
    }
    if required and not weights:
        raise ValueError(f'no weights found; the file holds {", ".join(map(str, checkpoint))}')
    return weights


def fits(source: torch.Size, target: torch.Size) -> bool:
    """Whether a weight of shape ``source`` can be stored as ``target``.

    The same shape, or a fully-connected layer in its other form: (out, in * k * k) and
    (out, in, k, k).
    """
    if source == target:
        return True
    return (
        {len(source), len(target)} == {2, 4}
        and source[0] == target[0]
        and source.numel() == target.numel()
    )


def misfits(weights: Weights, target: Weights) -> dict[str, str]:
    """Weights of another shape than the model's: name -> what is wrong."""
    return {
        name: f'{name} is {tuple(weights[name].shape)}, the model wants {tuple(target[name].shape)}'
        for name in sorted(weights.keys() & target.keys())
        if not fits(weights[name].shape, target[name].shape)
    }


def other_classes(weights: Weights, target: Weights) -> dict[str, str]:
    """Those of :func:`misfits` that are an fc8 for another number of classes: name -> notice."""
    return {
        name: f'{name} is left as initialised: the checkpoint has {len(weights[name])} classes, '
        f'the model {len(target[name])}'
        for name in misfits(weights, target)
        if f'.{name}'.split('.')[-2] == 'fc8' and weights[name].shape[1:] == target[name].shape[1:]
    }


def first_of(problems: Sequence[str]) -> str:
    """Problems as one line: the first few, and how many more there are."""
    more = len(problems) - NAMED
    return '; '.join(problems[:NAMED]) + (f'; and {more} more' if more > 0 else '')


def use_source_names(checkpoint: dict, target: Weights) -> None:
    """Take back the conversion of a checkpoint for a model that has its layout.

    MMPretrain's VGG, say, which the same tools train and test.
    """
    source = checkpoint.get('source_state_dict') or {}
    if source.keys() & target.keys() and not checkpoint['state_dict'].keys() & target.keys():
        checkpoint['state_dict'] = checkpoint.pop('source_state_dict')
        for key in (META_KEY, ORIGIN_KEY):
            checkpoint['meta'].pop(key, None)
