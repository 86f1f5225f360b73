"""What the readers of checkpoints have in common."""

import torch


def weights_of(checkpoint: dict) -> dict[str, torch.Tensor]:
    """The state dict in a checkpoint, or the checkpoint itself if it is one.

    Raises:
        ValueError: if there is no tensor in it.
    """
    state = checkpoint.get('state_dict', checkpoint)
    weights = {
        name.removeprefix('module.'): value
        for name, value in state.items()
        if isinstance(value, torch.Tensor)
    }
    if not weights:
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
