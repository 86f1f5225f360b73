"""``init_cfg=dict(type='Pretrained', checkpoint=...)`` that says when it does nothing."""

import logging
from typing import Any

from mmengine.logging import print_log
from mmengine.model.weight_init import PretrainedInit, update_init_info
from mmengine.runner import load_state_dict

from vgg_mm.registry import WEIGHT_INITIALIZERS

from .from_classifier import transfer_to_part
from .layouts import has_own_names, unknown_layout
from .preprocessing import noted_preprocessing
from .schemes import load_by_name
from .weights import Weights, colours_in_bgr, weights_of


@WEIGHT_INITIALIZERS.register_module()
class Pretrained(PretrainedInit):
    """mmengine's initialisation by a checkpoint, for this package's modules, in any program.

    mmengine's copies what has the same name and shape and warns about the rest in a long list, so
    that a wrong checkpoint initialises nothing. This one takes weights in any library's layout, no
    code from the file is run, of a whole classifier each module takes its part (fc6 and fc7 in the
    form that the module has), and what does not fit is refused. Layers that depend on the classes
    (fc8, a detector's predictors) stay as initialised, with a notice, if their number differs.

    Args:
        checkpoint: A file, a URL or a name such as ``torchvision://vgg16``.
        prefix: Part of the checkpoint, in this package's names: 'backbone.', 'head'. Not needed
            for a classifier's.
        map_location: As in :func:`torch.load`.

    Raises:
        OSError, ValueError: in one line, if the checkpoint cannot be had or does not fit.
    """

    def __call__(self, module: Any) -> None:
        checkpoint = load_by_name(self.checkpoint, self.map_location)
        where = f'Pretrained: {self.checkpoint}'
        source = self._part(weights_of(checkpoint))
        if not has_own_names(f'.{name}' for name in source):
            raise unknown_layout(source, where)
        expected = noted_preprocessing(checkpoint)
        if expected is not None and expected.to_rgb:
            colours_in_bgr(source, module.state_dict())
        transfer = transfer_to_part(source, module.state_dict(), where)
        print_log(f'load model from: {self.checkpoint}', logger='current')
        for notice in transfer.notices:
            print_log(notice, logger='current', level=logging.WARNING)
        load_state_dict(module, transfer.weights, strict=False, logger='current')
        if expected is not None:
            # PreprocessingHook compares it with the model's.
            module.pretrained_preprocessing = expected
            print_log(f'{self.checkpoint} expects images as {expected}', logger='current')
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=self._get_init_info())

    def _part(self, weights: Weights) -> Weights:
        """What ``prefix`` names; all of it without."""
        if self.prefix is None:
            return weights
        start = f'{self.prefix.rstrip(".")}.'
        part = {n.removeprefix(start): t for n, t in weights.items() if n.startswith(start)}
        if not part:
            raise ValueError(
                f'Pretrained: nothing in {self.checkpoint} begins with prefix={self.prefix!r}; '
                f'the first is {next(iter(weights), None)!r}'
            )
        return part
