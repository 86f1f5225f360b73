"""``init_cfg=dict(type='Pretrained', checkpoint=...)`` that says when it does nothing."""

import torch.nn as nn
from mmengine.logging import print_log
from mmengine.model.weight_init import PretrainedInit, update_init_info
from mmengine.runner import CheckpointLoader, load_state_dict

from .layouts import has_own_names, unknown_layout
from .preprocessing import recorded_preprocessing
from .weights import Weights, first_of, misfits, other_classes, weights_of

#: Where a classifier has its parts; a checkpoint of all of it initialises one of them as well.
PARTS = ('backbone.', 'head.')


class CheckedPretrained(PretrainedInit):
    """mmengine's initialisation by a checkpoint, with errors in place of silence.

    mmengine's copies what has the same name and shape and warns about the rest in a long list, so
    that a wrong checkpoint initialises nothing. This one, for the nets of this package, takes the
    ``backbone.`` (or ``head.``) part of a classifier's checkpoint for a backbone (or head) by
    itself, leaves an fc8 for another number of classes as initialised, with a notice, and refuses
    what does not fit. Other models are initialised as by mmengine's.

    Raises:
        ValueError: in one line, if nothing in the checkpoint has a name of the module, or a weight
            has another shape.
    """

    def __call__(self, module: nn.Module) -> None:
        target = module.state_dict()
        checkpoint = CheckpointLoader.load_checkpoint(self.checkpoint, self.map_location)
        if has_own_names(f'.{name}' for name in target):
            weights = self._checked(weights_of(checkpoint), target)
            # PreprocessingHook compares it with the model's.
            module.pretrained_preprocessing = recorded_preprocessing(checkpoint)
        else:  # MMPretrain's VGG, say: the weights by their names in the file
            weights = checkpoint.get('source_state_dict')
            weights = weights or weights_of(checkpoint, required=False)
            weights = self._part(weights, target)
        print_log(f'load model from: {self.checkpoint}', logger='current')
        load_state_dict(module, weights, strict=False, logger='current')
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=self._get_init_info())

    def _checked(self, found: Weights, target: Weights) -> Weights:
        weights = self._part(found, target)
        if not weights.keys() & target.keys():
            raise unknown_layout(found, f'Pretrained: {self.checkpoint}')
        for name, notice in other_classes(weights, target).items():
            print_log(notice, logger='current')
            del weights[name]
        if problems := list(misfits(weights, target).values()):
            raise ValueError(
                f'Pretrained: {self.checkpoint} is of another net: {first_of(problems)}'
            )
        return weights

    def _part(self, weights: Weights, target: Weights) -> Weights:
        """The part that ``prefix`` names, or the one that has the module's names."""
        prefixes = ('', *PARTS) if self.prefix is None else (f'{self.prefix.rstrip(".")}.',)
        parts = [
            {n.removeprefix(p): t for n, t in weights.items() if n.startswith(p)} for p in prefixes
        ]
        part = max(parts, key=lambda part: len(part.keys() & target.keys()))
        if self.prefix is not None and not part:
            raise ValueError(
                f'Pretrained: nothing in {self.checkpoint} begins with prefix={self.prefix!r}; '
                f'the first is {next(iter(weights), None)!r}'
            )
        return part
