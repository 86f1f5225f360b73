"""mmdet's head of SSD, able to predict."""

from mmdet.models.dense_heads import SSDHead as MMDetSSDHead

from vgg_mm.registry import MODELS


@MODELS.register_module()
class SSDHead(MMDetSSDHead):
    """mmdet's ``SSDHead``, with its arguments and parameters.

    From mmdet 3.3 on all dense heads ask their ``loss_cls`` for its kind when they predict. SSD's
    computes its losses itself and has none, which ends in an AttributeError.
    """

    loss_cls = None
