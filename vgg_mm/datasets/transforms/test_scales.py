"""What the paper's test protocols look at (Section 3.2)."""

from collections.abc import Sequence
from typing import Union

from vgg_mm.registry import TRANSFORMS

from .rescale import paper_test_scales, rescaled_size, scale_bounds
from .rescaling_step import RescalingStep, rescaled_part

#: Words for the paper's choice of Q, by the training scale S.
WORDS = ONE, SEVERAL = 'one', 'several'


@TRANSFORMS.register_module()
class TestScales(RescalingStep):
    """The whole image, rescaled isotropically so that its smaller side is Q, for each Q.

    Required key: ``img``, (H, W) or (H, W, C), or what ``vgg_mm.LoadImage(lazy=True)`` leaves
    undecoded. Modified: ``img``, a list of images, one per Q, of the same type, with the pixels of
    :class:`ScaleJitter`. Crops are taken from them later, on the device.

    Args:
        scales: Q, or several, in pixels; or a word for the paper's choice: 'one' (Section 4.1,
            Table 3) or 'several' (Section 4.2, Tables 4 and 5).
        trained_at: S, or (S_min, S_max), which decides what a word means. The test tool takes it
            from the config's ``vgg_mm.ScaleJitter``.
        max_pixels: Rescaled images of more pixels are an error: a strip of 20,000 x 10 is one of
            512,000 x 256 at Q = 256.

    Raises:
        ValueError: if there is no Q or one that is not a positive integer, or a word without S; if
            an image becomes too large.
    """

    __test__ = False  # not a test case, whatever its name looks like to pytest

    def __init__(
        self,
        scales: Union[int, Sequence[int], str],
        trained_at: Union[int, Sequence[int], None] = None,
        max_pixels: int = 2**26,
    ):
        if isinstance(scales, str):
            scales = _papers_choice(scales, trained_at)
        self.scales = (scales,) if isinstance(scales, int) else tuple(scales)
        if not self.scales or not all(isinstance(q, int) and q > 0 for q in self.scales):
            raise ValueError(f'TestScales: scales must be positive integers, got {scales}')
        if not isinstance(max_pixels, int) or max_pixels < 1:
            raise ValueError(f'TestScales: max_pixels must be a positive integer, got {max_pixels}')
        self.max_pixels = max_pixels

    def _rescale(self, results: dict) -> dict:
        img = results['img']
        height, width = img.shape[:2]
        sizes = [rescaled_size(height, width, q) for q in self.scales]
        for q, (height, width) in zip(self.scales, sizes):
            if height * width > self.max_pixels:
                raise ValueError(
                    f'an image of {img.shape[1]}x{img.shape[0]} is {width}x{height} at test scale '
                    f'Q={q}, more than TestScales(max_pixels={self.max_pixels}) takes: '
                    f'{results.get("img_path", "a given image")}'
                )
        results['img'] = [rescaled_part(img, size) for size in sizes]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(scales={self.scales})'


def _papers_choice(word: str, trained_at: Union[int, Sequence[int], None]) -> tuple[int, ...]:
    if word not in WORDS:
        raise ValueError(
            f"TestScales: scales must be integers, 'one' or 'several' (the paper's Q), got {word!r}"
        )
    if trained_at is None:
        raise ValueError(
            f'TestScales: scales={word!r} needs trained_at=S or (S_min, S_max), which decides the '
            "paper's Q; or give integers, e.g. scales=(256, 384, 512)"
        )
    low, high = scale_bounds(trained_at)
    return paper_test_scales((low, high), several=word == SEVERAL)
