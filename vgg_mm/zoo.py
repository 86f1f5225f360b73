"""This package's models under MMPretrain's names: ``get_model('vgg16_jitter_imagenet')``."""

import os
from functools import cache
from typing import Any

from mmengine.runner import CheckpointLoader
from mmpretrain.apis import ModelHub

from .installation import root_folder

#: Of the models that MMPretrain can build. model-index.yml, which openmim reads, has the detectors
#: and segmentors, too.
CLASSIFIERS = ('configs/vgg/metafile.yml', 'configs/vgg/metafile_torchvision.yml')

#: Where the authors' own weights of nets D and E are.
AUTHORS_RELEASE = 'http://www.robots.ox.ac.uk/~vgg/software/very_deep/'

#: Before a file, a URL or a name of a list: any program that loads through mmengine reads it by
#: this package's loader; with the second, for RGB images.
PREFIX, RGB_PREFIX = 'vgg_mm://', 'vgg_mm-rgb://'


@cache
def register() -> None:
    """Add the models to MMPretrain's ``ModelHub``, once a process, and two prefixes of names to
    mmengine's loader.

    ``list_models``, ``get_model`` and ``inference_model`` then include the models. Their
    published weights are named there with this package's prefixes, so that they are read by its
    own loader: ``vgg_mm://URL``, and ``vgg_mm-rgb://URL`` for the authors', which are for BGR
    images. Other loads are unchanged.
    """
    root = root_folder()
    before = set(ModelHub._models_dict)
    for metafile in CLASSIFIERS:
        path = os.path.join(root, metafile)
        if os.path.isfile(path):  # the modules may have been copied alone
            ModelHub.register_model_index(path, config_prefix=root)
    for name in ModelHub._models_dict.keys() - before:
        model = ModelHub._models_dict[name]
        if model.weights:
            prefix = RGB_PREFIX if model.weights.startswith(AUTHORS_RELEASE) else PREFIX
            model.weights = prefix + model.weights
    for prefix in (PREFIX, RGB_PREFIX):
        CheckpointLoader.register_scheme(prefix, load_from_vgg_mm, force=True)


def load_from_vgg_mm(name: str, map_location: Any = None) -> dict:
    """Load a checkpoint by a name with one of this package's prefixes; called by mmengine's loader.

    Args:
        name: :data:`PREFIX` or :data:`RGB_PREFIX`, and a file, a URL or a name of a list.
        map_location: As in :func:`torch.load`.

    Returns:
        A checkpoint; a VGG's weights in this package's layout, with their pre-processing. With
        :data:`RGB_PREFIX` those of a net for BGR images are reversed, for RGB images.

    Raises:
        OSError, ValueError: in one line, if it cannot be read, or is no checkpoint.
    """
    # Here, since the readers of checkpoints take long to import.
    from vgg_mm.checkpoints import for_rgb, load_by_name

    for_rgb_images = name.startswith(RGB_PREFIX)
    loaded = load_by_name(name.removeprefix(RGB_PREFIX).removeprefix(PREFIX), map_location)
    return for_rgb(loaded) if for_rgb_images else loaded
