"""This package's models under MMPretrain's names: ``get_model('vgg16_jitter_imagenet')``."""

import os
from functools import cache
from typing import Any

from mmengine.runner import CheckpointLoader
from mmpretrain.apis import ModelHub

#: Of the models that MMPretrain can build. model-index.yml, which openmim reads, has the detectors
#: and segmentors, too.
CLASSIFIERS = ('configs/vgg/metafile.yml', 'configs/vgg/metafile_torchvision.yml')

#: Where the authors' own weights of nets D and E are.
AUTHORS_RELEASE = 'http://www.robots.ox.ac.uk/~vgg/software/very_deep/'

#: Where torchvision's are.
TORCHVISIONS = 'https://download.pytorch.org/models/vgg'

FIRST_WEIGHT = 'backbone.conv1_1.weight'


def root_folder() -> str:
    """The folder of configs and model index: the checkout, or ``.mim`` of an installed package."""
    package = os.path.dirname(os.path.abspath(__file__))
    beside = os.path.dirname(package)
    in_checkout = os.path.isdir(os.path.join(beside, 'configs', '_base_'))
    return beside if in_checkout else os.path.join(package, '.mim')


@cache
def register() -> None:
    """Add the models to MMPretrain's ``ModelHub``, once a process.

    ``list_models``, ``get_model`` and ``inference_model`` know them from then on. Of ways to load
    weights only those of the authors' and torchvision's addresses are added; others stay as they
    are (:func:`vgg_mm.checkpoints.load_checkpoints_safely` changes them).
    """
    root = root_folder()
    for metafile in CLASSIFIERS:
        path = os.path.join(root, metafile)
        if os.path.isfile(path):  # somebody may have copied the modules alone
            ModelHub.register_model_index(path, config_prefix=root)
    CheckpointLoader.register_scheme(AUTHORS_RELEASE, load_authors_weights, force=True)
    CheckpointLoader.register_scheme(TORCHVISIONS, load_torchvisions_weights, force=True)


def load_torchvisions_weights(url: str, map_location: Any = None) -> dict:
    """Download torchvision's weights and read them without running code from the file.

    Raises:
        OSError, ValueError: in one line, if the file cannot be had or is damaged.
    """
    # Here and below: what reads checkpoints need not be imported with the package.
    from vgg_mm.checkpoints.schemes import load_from_http

    return load_from_http(url, map_location)


def load_authors_weights(url: str, map_location: Any = None) -> dict:
    """Download the authors' weights and give them as the configs here take them, for RGB images.

    Raises:
        OSError, ValueError: in one line, if the file cannot be had or is damaged.
    """
    from vgg_mm.checkpoints.schemes import load_from_http

    return for_rgb(load_from_http(url, map_location))


def for_rgb(checkpoint: dict) -> dict:
    """A checkpoint of a net for BGR images as one for RGB images: conv1_1's channels turned round.

    Args:
        checkpoint: In this package's layout, with its pre-processing recorded.

    Returns:
        The same object if it is for RGB, or says nothing; else a new one.
    """
    from vgg_mm.checkpoints import recorded_preprocessing
    from vgg_mm.checkpoints.preprocessing import note_preprocessing

    found = recorded_preprocessing(checkpoint)
    if found is None or found.to_rgb:
        return checkpoint
    weights = dict(checkpoint['state_dict'])
    weights[FIRST_WEIGHT] = weights[FIRST_WEIGHT].flip(1)
    meta = dict(checkpoint['meta'])
    note_preprocessing(meta, found.turned())
    return {**checkpoint, 'state_dict': weights, 'meta': meta}
