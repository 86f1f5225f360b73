"""AlexNet's colour augmentation, which the paper's training uses (Section 3.1)."""

from collections.abc import Sequence

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from vgg_mm.registry import TRANSFORMS

from .resampling import from_planes, to_planes

#: Principal components of ImageNet's RGB (Krizhevsky et al. 2012, Section 4.1), as in released
#: recipes: eigenvalues of the covariance of RGB in [0, 1] (0.2175, 0.0188, 0.0045), times 255.
IMAGENET_EIGVAL = (55.4625, 4.7940, 1.1475)
IMAGENET_EIGVEC = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)


@TRANSFORMS.register_module()
class PCAShift(BaseTransform):
    """Add one random multiple of the RGB principal components to every pixel of an image.

    The shift is ``eigvec @ (alpha * eigval)`` with alpha ~ N(0, alphastd) for each component.
    uint8 images saturate at 0 and 255. (MMPretrain's ``Lighting`` casts its float result back
    without clipping, so that values beyond the range wrap around.)

    Required and modified key: ``img``, (H, W, 3) or more, uint8 or float in [0, 255], in BGR order
    as mmcv loads it. Channels after the colours and images of one channel are left as they are.

    Args:
        eigval: Eigenvalues of the covariance of RGB in [0, 1], times 255 (ImageNet's by default).
        eigvec: 3 x 3, rows R, G, B, one component a column.
        alphastd: Standard deviation of alpha.

    Raises:
        ValueError: if the shapes are wrong or ``alphastd`` is negative.
    """

    def __init__(
        self,
        eigval: Sequence[float] = IMAGENET_EIGVAL,
        eigvec: Sequence[Sequence[float]] = IMAGENET_EIGVEC,
        alphastd: float = 0.1,
    ):
        self.eigval = np.asarray(eigval, dtype=np.float64)
        self.eigvec = np.asarray(eigvec, dtype=np.float64)
        if self.eigval.shape != (3,) or self.eigvec.shape != (3, 3):
            raise ValueError(
                'PCAShift: eigval must contain 3 numbers and eigvec 3x3, got shapes '
                f'{self.eigval.shape} and {self.eigvec.shape}'
            )
        if alphastd < 0:
            raise ValueError(f'PCAShift: alphastd must not be negative, got {alphastd}')
        self.alphastd = alphastd

    @cache_randomness
    def _draw(self) -> np.ndarray:
        """A shift of (R, G, B) in grey levels."""
        return self.eigvec @ (np.random.normal(0, self.alphastd, 3) * self.eigval)

    def transform(self, results: dict) -> dict:
        img = results['img']
        if img.ndim != 3 or img.shape[2] < 3:
            return results
        shift = self._draw()[::-1]
        if img.dtype == np.uint8:
            # The shift is the same for all pixels: a table of 256 values per channel does it.
            levels = np.arange(256) + shift[:, None]
            tables = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
            planes = to_planes(img)
            shifted = [cv2.LUT(plane, table) for plane, table in zip(planes, tables)]
            results['img'] = from_planes(np.stack([*shifted, *planes[3:]]))
        else:
            others = np.zeros(img.shape[2] - 3)
            results['img'] = img + np.append(shift, others).astype(img.dtype)
        return results

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(eigval={self.eigval.tolist()}, '
            f'eigvec={self.eigvec.tolist()}, alphastd={self.alphastd})'
        )
