"""What is predicted for one image."""

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Optional

import numpy as np

from .score_map import ScoreMap

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass
class Prediction:
    """The result for one image, the most probable class first.

    Attributes:
        image: Path, or 'image 0' and so on for images given as arrays.
        labels: Class numbers of the top k.
        classes: Their names.
        scores: Their posteriors in [0, 1].
        posterior: Of all classes, float32 (num_classes,); None if the image is broken.
        error: Why the image could not be read, or ''.
        photo: uint8 (H, W, 3) RGB, where score maps were asked for, else None.
        score_map: Posteriors by place, where they were asked for, else None.
        shown: Class number that pictures show the map of: the first of ``labels``, or the one
            asked for.
        shown_class: Its name.
        protocol: Of the posteriors: 'dense', 'multi_crop' or 'dense+multi_crop'.
        scales: Test scales Q in pixels.
        picture: File of the picture, or ''.
    """

    image: str
    labels: list[int] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    posterior: Optional[np.ndarray] = field(default=None, repr=False)
    error: str = ''
    photo: Optional[np.ndarray] = field(default=None, repr=False)
    score_map: Optional[ScoreMap] = field(default=None, repr=False)
    shown: Optional[int] = None
    shown_class: str = ''
    protocol: str = ''
    scales: tuple[int, ...] = ()
    picture: str = ''

    def figure(self) -> 'Figure':
        """Photo, bars of the top k, and the class score map over the photo.

        Raises:
            ValueError: if the image is broken, or no score map was asked for.
        """
        if self.error:
            raise ValueError(f'no picture of a broken image: {self.error}')
        if self.score_map is None:
            raise ValueError('no score map: predict(..., score_maps=True) keeps it')
        from .picture import draw  # matplotlib takes as long to import as a small net to run

        return draw(self)

    def png(self) -> bytes:
        """:meth:`figure` as the content of a PNG file."""
        content = io.BytesIO()
        self.figure().savefig(content, format='png')
        return content.getvalue()

    def _repr_png_(self) -> Optional[bytes]:
        """What a notebook shows."""
        return None if self.score_map is None else self.png()
