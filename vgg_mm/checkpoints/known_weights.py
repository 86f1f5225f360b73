"""Published weights that are recognised by the values of their conv1_1, under any names.

The names of the layers do not tell the pre-processing that weights expect: the authors' weights
exist under the names of Caffe, Keras, TensorFlow, MatConvNet and torchvision, some with the
channels of conv1_1 reversed for RGB images.
"""

from itertools import product
from typing import NamedTuple, Optional

import torch

from .preprocessing import CENTRED_BGR, STANDARDISED_RGB, Preprocessing


class Known(NamedTuple):
    """Published weights."""

    name: str  # for messages
    preprocessing: Preprocessing
    filters: torch.Tensor  # the first three of conv1_1, (3, 3, 3, 3)
    biases: torch.Tensor  # (3,)


class Identity(NamedTuple):
    """The origin of a conv1_1.

    ``preprocessing`` is for the channel order that it has; 'recognised' by the same numbers, or
    'assumed' by similar ones, as after a training. ``rotated`` kernels are turned by 180 degrees,
    for a convolution by definition, as Theano's, instead of a correlation.
    """

    preprocessing: Preprocessing
    rotated: bool


def _known(name: str, preprocessing: Preprocessing, biases: str, filters: str) -> Known:
    filter_values, bias_values = (
        torch.tensor([float(x) for x in text.split()]) for text in (filters, biases)
    )
    return Known(name, preprocessing, filter_values.view(3, 3, 3, 3), bias_values)


KNOWN = (
    # Net D of https://www.robots.ox.ac.uk/~vgg/research/very_deep/ (CC BY 4.0), here as in Caffe's
    # and Keras's files. A row: one channel of one filter.
    _known(
        "the authors' net D",
        CENTRED_BGR,
        '0.7343 0.0934 0.0678',
        """
         0.4295  0.3735 -0.0614  0.2748  0.0387 -0.3672 -0.0575 -0.2622 -0.3501
         0.5504  0.4401 -0.0814  0.3457  0.0406 -0.4535 -0.0586 -0.3307 -0.4850
         0.4800  0.4085 -0.0651  0.3105  0.0502 -0.4034 -0.0509 -0.2852 -0.4185
         0.1173  0.1621  0.1357  0.1484  0.2023  0.1617  0.1293  0.1716  0.1387
         0.0209  0.0473  0.0419  0.0310  0.0658  0.0463  0.0317  0.0547  0.0423
        -0.1727 -0.1704 -0.1544 -0.1876 -0.1776 -0.1744 -0.1660 -0.1667 -0.1570
         0.0340  0.0017 -0.1157  0.1616  0.1564 -0.0899  0.0129  0.0001 -0.1253
         0.0988  0.0514 -0.1018  0.2408  0.2203 -0.0667  0.0760  0.0487 -0.1121
         0.0376 -0.0050 -0.1380  0.1666  0.1512 -0.1098  0.0156 -0.0080 -0.1491
        """,
    ),
    # torchvision's vgg16, IMAGENET1K_V1, as printed in public notebooks.
    _known(
        "torchvision's net D",
        STANDARDISED_RGB,
        '0.4034 0.3778 0.4644',
        """
        -0.5537  0.1427  0.5290 -0.5831  0.3566  0.7657 -0.6902 -0.0480  0.4841
         0.1755  0.0099 -0.0814  0.0441 -0.0703 -0.2604  0.1324 -0.1728 -0.1323
         0.3130 -0.1659 -0.4275  0.4752 -0.0827 -0.4870  0.6320  0.0193 -0.2775
         0.2325  0.1267  0.1861 -0.4281 -0.2435  0.2463 -0.2507  0.1418 -0.0055
        -0.1408 -0.2190  0.1504 -0.8413 -0.3518  0.5640 -0.2419  0.5193  0.5391
        -0.3143 -0.3705 -0.1309 -0.4714 -0.1550  0.3459  0.0544  0.5868  0.4958
         0.1772  0.5215  0.0099 -0.2718 -0.7171  0.3129 -0.0758 -0.2208  0.3346
         0.3092  0.6707  0.0205 -0.4661 -1.0697  0.3350 -0.0803 -0.3052  0.5446
         0.3157  0.4233 -0.3498  0.0864 -0.4646  0.0118  0.1048 -0.1458 -0.0158
        """,
    ),
)

#: Largest difference from the numbers above, relative to their norm, that rounding explains
#: (bfloat16 keeps 8 bits); and the least cosine at which a conv1_1 is a descendant.
ROUNDING, DESCENDANT = 0.01, 0.9


def identify(weight: torch.Tensor, bias: Optional[torch.Tensor]) -> Optional[Identity]:
    """The origin of a conv1_1, its order of channels and direction; None: unknown.

    Args:
        weight: (out, in, 3, 3).
        bias: (out,).
    """
    if tuple(weight.shape[1:]) != (3, 3, 3) or len(weight) < 3 or not weight.is_floating_point():
        return None
    found = weight[:3].detach().float().cpu()
    best, identity = DESCENDANT, None
    for known, flip, rotated in product(KNOWN, (False, True), (False, True)):
        filters = known.filters.flip(1) if flip else known.filters
        filters = filters.flip(2, 3) if rotated else filters
        cosine = float(torch.cosine_similarity(found.flatten(), filters.flatten(), dim=0))
        if cosine > best:
            best = cosine
            same = _same(found, filters) and (bias is None or _same(bias[:3], known.biases))
            how = 'recognised: conv1_1 is' if same else 'assumed: conv1_1 is much like'
            expected = known.preprocessing.reversed_channels() if flip else known.preprocessing
            identity = Identity(expected._replace(origin=f'{how} that of {known.name}'), rotated)
    return identity


def _same(found: torch.Tensor, expected: torch.Tensor) -> bool:
    difference = found.detach().float().cpu() - expected
    return bool(difference.norm() <= ROUNDING * expected.norm())
