"""Loading weights of any layout into modules of this package, in any program."""

from typing import Any

from mmengine.model import BaseModule
from mmengine.model.weight_init import PretrainedInit

from vgg_mm.checkpoints.module_weights import convert_classifier, convert_part

#: mmengine's initialisation by a checkpoint, by its names.
_PRETRAINED = ('Pretrained', 'vgg_mm.Pretrained', PretrainedInit)


class ForeignWeights(BaseModule):
    """mmengine's ``BaseModule`` for modules with layers of VGG, as an additional base.

    A state dict in another library's layout is converted when the module is given it, by itself or
    as a part of a model, and ``init_cfg=dict(type='Pretrained', ...)`` means
    :class:`~vgg_mm.checkpoints.module_weights.Pretrained`. Wrong weights are a ValueError of one
    line. State dicts in the module's own names are loaded as by torch.
    """

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        _local_metadata, _strict, _missing, unexpected_keys, _error_msgs = args
        convert_part(self, state_dict, prefix, unexpected_keys)
        super()._load_from_state_dict(state_dict, prefix, *args)

    init_cfg: Any

    def init_weights(self) -> None:
        """As mmengine's, where 'Pretrained' is this package's."""
        configs = self.init_cfg if isinstance(self.init_cfg, list) else [self.init_cfg]
        # mmengine goes by the type's name to do it last.
        own = [
            {**cfg, 'type': 'Pretrained', '_scope_': 'vgg_mm'}
            if cfg and cfg['type'] in _PRETRAINED
            else cfg
            for cfg in configs
        ]
        self.init_cfg = own if isinstance(self.init_cfg, list) else own[0]
        super().init_weights()


class ForeignClassifierWeights(ForeignWeights):
    """The same for a backbone, which gets all weights of the model from MMPretrain."""

    def _checkpoint_filter(self, state_dict: dict, prefix: str, *args: Any) -> None:
        """Called by MMPretrain's ``ImageClassifier`` before a state dict is loaded."""
        convert_classifier(self, state_dict, prefix)
