"""The central crop of the simplified test protocol (Appendix A.2)."""

from vgg_mm.registry import TRANSFORMS

from .rescale import rescaled_size
from .rescaling_step import RescalingStep, crop_rescaled


@TRANSFORMS.register_module()
class CentralCrop(RescalingStep):
    """Rescale the smaller side to Q, then take the central crop; boxes go along.

    MMPretrain's ``ResizeEdge`` and mmcv's ``CenterCrop`` in one, with the pixels of
    :class:`ScaleJitter` (theirs are not antialiased). Keys as there.

    Args:
        scale: Q in pixels.
        crop_size: Side of the crop in pixels.

    Raises:
        ValueError: if one is not a positive integer, or ``scale`` is below ``crop_size``.
    """

    def __init__(self, scale: int, crop_size: int = 224):
        for name, value in (('scale', scale), ('crop_size', crop_size)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f'CentralCrop: {name} must be a positive integer, got {value!r}')
        if scale < crop_size:
            raise ValueError(
                f'CentralCrop: Q must be at least crop_size, got Q={scale} and '
                f'crop_size={crop_size}; raise scale or lower crop_size'
            )
        self.scale = scale
        self.crop_size = crop_size

    def _rescale(self, results: dict) -> dict:
        height, width = results['img'].shape[:2]
        height, width = rescaled_size(height, width, self.scale)
        corner = round((height - self.crop_size) / 2), round((width - self.crop_size) / 2)
        return crop_rescaled(results, (height, width), corner, self.crop_size)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(scale={self.scale}, crop_size={self.crop_size})'
