"""Which weights these are."""

import hashlib
from collections.abc import Mapping

import torch


def weights_digest(weights: Mapping[str, torch.Tensor]) -> str:
    """Digest of a state dict: of names, shapes, types and numbers."""
    digest = hashlib.blake2b(digest_size=16)
    for name, value in weights.items():
        digest.update(f'{name} {tuple(value.shape)} {value.dtype}\n'.encode())
        digest.update(value.cpu().contiguous().numpy().reshape(-1).data)
    return digest.hexdigest()
