"""The pre-processing that a net expects: a property of its weights."""

import math
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple, Optional

import torch
import torch.nn as nn
from mmengine.config import Config

from .config_text import parse_config_text

#: Its key in a converted checkpoint's ``meta``, and that of its origin.
META_KEY, ORIGIN_KEY = 'preprocessing', 'preprocessing_origin'

#: Origins: recorded in a file, or in a config.
RECORDED = 'recorded'
IN_CONFIG = f'{RECORDED}: in the config'

#: The mean RGB of ImageNet's training images that the authors subtract.
VGG_MEAN = (123.68, 116.779, 103.939)

#: Tolerance for equal values: some libraries round them.
_TOLERANCE = 0.02


class Preprocessing(NamedTuple):
    """Channel order, mean and standard deviation of the input, on the scale 0 to 255.

    The names are those of MMPretrain's ``ClsDataPreprocessor``, which is given BGR images.

    ``origin`` is 'recorded' in the file, 'recognised' by the weights' values, or 'assumed' from
    their names, possibly followed by a reason. It is '' for a model's own.
    """

    to_rgb: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    origin: str = ''

    def __str__(self) -> str:
        order = 'grey' if len(self.mean) == 1 else 'RGB' if self.to_rgb else 'BGR'
        text = f'{order}, mean {_numbers(self.mean)}, std {_numbers(self.std)}'
        return f'{text} ({self.origin})' if self.origin else text

    def same_as(self, other: 'Preprocessing') -> bool:
        """Whether both give the same input, apart from how their numbers were rounded.

        Three channels are extended to the number of the other one."""
        if len(self.mean) == 3 != len(other.mean):
            return self.for_channels(len(other.mean)).same_as(other)
        other = other.for_channels(len(self.mean))
        pairs = zip((*self.mean, *self.std), (*other.mean, *other.std))
        same_order = self.to_rgb == other.to_rgb or len(self.mean) == 1
        return same_order and all(
            math.isclose(one, two, rel_tol=0, abs_tol=_TOLERANCE) for one, two in pairs
        )

    def to_meta(self) -> dict:
        """As stored in a checkpoint: plain values, named as in a data_preprocessor's config."""
        return dict(to_rgb=self.to_rgb, mean=list(self.mean), std=list(self.std))

    def reversed_channels(self) -> 'Preprocessing':
        """For the same weights with the channels of conv1_1 in the opposite order."""
        return self._replace(to_rgb=not self.to_rgb, mean=self.mean[::-1], std=self.std[::-1])

    def for_channels(self, channels: int) -> 'Preprocessing':
        """For another number of input channels than three: grey ones, and those after the colours,
        get the average of the colours' means and deviations.

        The colours of more channels are in BGR order: MMPretrain reverses three channels only."""
        if channels == len(self.mean):
            return self
        if channels > 3 and self.to_rgb:
            return self.reversed_channels().for_channels(channels)
        mean, std = (sum(values) / len(values) for values in (self.mean, self.std))
        more = max(channels - len(self.mean), 0)
        if channels == 1:
            return self._replace(mean=(mean,), std=(std,))
        return self._replace(mean=(*self.mean, *(mean,) * more), std=(*self.std, *(std,) * more))

    def divided(self, by: float) -> 'Preprocessing':
        """For images that are also divided by a number: see ``with_divided_images``."""
        return self._replace(std=tuple(by * value for value in self.std))

    def quotient(self, weights: 'Preprocessing') -> Optional[float]:
        """How many times smaller these images are than those that weights expect.

        None if they differ in anything else, too.
        """
        if len(self.std) != len(weights.std):
            return self.quotient(weights.for_channels(len(self.std)))
        by = self.std[0] / weights.std[0]
        return by if weights.divided(by).same_as(self) else None

    def put_into(self, data_preprocessor: Any) -> None:
        """Let a data preprocessor that :func:`preprocessing_of` understands do this from now on,
        for as many channels as it has."""
        found = preprocessing_of(data_preprocessor)
        new = self if found is None else self.for_channels(len(found.mean))
        setattr(data_preprocessor, _reversal_attribute(data_preprocessor) or 'to_rgb', new.to_rgb)
        for name, values in (('mean', new.mean), ('std', new.std)):
            old = getattr(data_preprocessor, name, None)
            device = old.device if isinstance(old, torch.Tensor) else data_preprocessor.device
            tensor = torch.tensor(values, device=device).view(-1, 1, 1)
            data_preprocessor.register_buffer(name, tensor, persistent=False)
        data_preprocessor._enable_normalize = True


#: Images in RGB, scaled to 0..1, standardised by ImageNet's mean and deviation.
STANDARDISED_RGB = Preprocessing(True, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375))

#: The authors': images in BGR, as OpenCV reads them, minus the mean.
CENTRED_BGR = Preprocessing(False, VGG_MEAN[::-1], (1.0, 1.0, 1.0))

#: The paper's numbers for weights of RGB images.
CENTRED_RGB = Preprocessing(True, VGG_MEAN, (1.0, 1.0, 1.0))


def preprocessing_of(data_preprocessor: Optional[nn.Module]) -> Optional[Preprocessing]:
    """The pre-processing of MMPretrain's ``ClsDataPreprocessor`` or one of mmengine's kind
    (``DetDataPreprocessor``, ``SegDataPreprocessor``), given BGR images; None of another kind.
    """
    attribute = _reversal_attribute(data_preprocessor)
    if data_preprocessor is None or attribute is None:
        return None
    to_rgb = getattr(data_preprocessor, attribute)
    if not data_preprocessor._enable_normalize:
        return Preprocessing(to_rgb, (0.0,) * 3, (1.0,) * 3)
    mean, std = (_tuple(getattr(data_preprocessor, name)) for name in ('mean', 'std'))
    # More channels than three are never reversed.
    return Preprocessing(to_rgb and len(mean) <= 3, mean, std)


def _reversal_attribute(data_preprocessor: Optional[nn.Module]) -> Optional[str]:
    """The attribute for the conversion from BGR to RGB: MMPretrain's or mmengine's."""
    names = ('to_rgb', '_channel_conversion')
    return next((n for n in names if isinstance(getattr(data_preprocessor, n, None), bool)), None)


def noted_preprocessing(checkpoint: dict) -> Optional[Preprocessing]:
    """What a checkpoint's weights expect, and how that is known; None if nothing is known.

    That is what its ``meta`` records, else the config in it; else what the readers of files
    recognise or assume.

    Raises:
        ValueError: in one line, if the recorded values are invalid.
    """
    meta = checkpoint.get('meta') or {}
    found = meta.get(META_KEY)
    noted = None if found is None else _of_settings(found, str(meta.get(ORIGIN_KEY) or RECORDED))
    if noted is not None and noted.origin.startswith(RECORDED):
        return noted
    text = meta.get('cfg')
    said = _said_in(text) if isinstance(text, str) else None
    return noted if said is None else said._replace(origin=f'{IN_CONFIG} of its training')


@lru_cache(maxsize=8)  # of each net of an ensemble; used by several parts of a program
def _said_in(text: str) -> Optional[Preprocessing]:
    """The pre-processing in a config's text; None if that contains more than plain values."""
    with suppress(ValueError):
        return config_preprocessing(text)
    return None


def config_preprocessing(config: Any) -> Optional[Preprocessing]:
    """The pre-processing in a config of any model, or its text in a checkpoint; None: not given.

    Raises:
        ValueError: in one line, as :func:`parse_config_text`.
    """
    if not isinstance(config, (Config, dict)):
        config = parse_config_text(config, ('model', 'data_preprocessor'))
    model = config.get('model')
    settings = model.get('data_preprocessor') if isinstance(model, dict) else None
    settings = settings or config.get('data_preprocessor')  # where MMPretrain's configs have it
    if not isinstance(settings, dict):
        return None
    mean, std = settings.get('mean') or (0.0,) * 3, settings.get('std') or (1.0,) * 3
    # MMPretrain's key, and mmengine's of detectors and segmentors.
    turns = any(settings.get(key) for key in ('to_rgb', 'bgr_to_rgb', 'rgb_to_bgr'))
    wanted = dict(mean=mean, std=std, to_rgb=turns)
    found = _of_settings(wanted, IN_CONFIG)
    # More channels than three are never reversed.
    return found._replace(to_rgb=turns and len(found.mean) <= 3)


def _of_settings(found: Any, origin: str) -> Preprocessing:
    try:
        mean, std = (tuple(float(x) for x in found[name]) for name in ('mean', 'std'))
        to_rgb = found['to_rgb']
        right = isinstance(to_rgb, bool) and len(mean) == len(std) and len(mean) in (1, 3, 4)
        right = right and all(map(math.isfinite, (*mean, *std))) and min(std) > 0
    except (KeyError, TypeError, ValueError):
        right = False
    if not right:
        raise ValueError(
            f'the checkpoint records the pre-processing {str(found)[:200]!r}; it must be '
            'dict(to_rgb=True or False, mean=[three numbers], std=[three positive numbers])'
        )
    return Preprocessing(to_rgb, mean, std, origin)


def note_preprocessing(meta: dict, preprocessing: Preprocessing) -> None:
    """Write into a checkpoint's ``meta`` what its weights expect, and how that is known."""
    meta[META_KEY] = preprocessing.to_meta()
    meta[ORIGIN_KEY] = preprocessing.origin or RECORDED


def _numbers(values: Sequence[float]) -> str:
    return '/'.join(f'{value:g}' for value in values)


def _tuple(tensor: torch.Tensor) -> tuple[float, ...]:
    # float32 holds 123.68 as 123.6800003.
    return tuple(float(f'{value:.7g}') for value in tensor.flatten().tolist())
