"""What features were made with: it decides which can be compared, and which run goes on."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Optional

#: The ways to combine several test scales (Appendix B).
COMBINE = AVERAGE, STACK = 'average', 'stack'

#: What the features of training and test images must share.
SHARED = (
    'layer', 'dimension', 'scales', 'combine', 'flip', 'net', 'width', 'preprocessing', 'weights',
)  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """All that the content of a file of features depends on.

    Args:
        layer: Name of the layer.
        dimension: Numbers an image, all scales together.
        scales: Test scales Q in pixels, in the order in which they are stacked.
        combine: 'average' or 'stack'.
        flip: Whether the mirrored image takes part.
        net: Name in the paper's Table 1.
        width: ``base_channels``; 64 in the paper.
        preprocessing: Channel order, mean and deviation, in words.
        weights: Digest of all weights up to the layer.
        images: Digest of the images' paths and sizes in bytes.
        count: Number of images.
    """

    layer: str
    dimension: int
    scales: tuple[int, ...]
    combine: str
    flip: bool
    net: str
    width: int
    preprocessing: str
    weights: str
    images: str
    count: int

    @classmethod
    def from_info(cls, info: dict[str, Any]) -> 'Settings':
        """From what a file says of itself.

        Raises:
            ValueError: if that is not what :meth:`to_info` gives.
        """
        try:
            fields = {key: info[key] for key in cls.__dataclass_fields__}
            return cls(**{**fields, 'scales': tuple(fields['scales'])})
        except (KeyError, TypeError) as error:
            raise ValueError(f'its settings are incomplete ({error})') from error

    def to_info(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return json.loads(json.dumps(asdict(self)))

    def differences(self, other: 'Settings', fields: tuple[str, ...] = ()) -> str:
        """What ``other`` has in place of what is here, in words; '' if they are the same.

        Args:
            other: Those that were found.
            fields: The ones to compare; by default all.
        """
        found = []
        for field in fields or tuple(self.__dataclass_fields__):
            mine, others = getattr(self, field), getattr(other, field)
            # Weights up to another layer are others in any case.
            if mine == others or (field == 'weights' and self.layer != other.layer):
                continue
            if field in ('weights', 'images'):
                found.append(f'other {field}')
            else:
                found.append(f'{field} {_text(others)}, not {_text(mine)}')
        return '; '.join(found)

    def describe(self) -> str:
        """One line for the user."""
        scales = f'Q = {_text(self.scales)}'
        several = f' ({self.combine})' if len(self.scales) > 1 else ''
        flip = '' if self.flip else ', no flip'
        return (
            f'{self.layer} of net {self.net} (width {self.width}), {scales}{several}{flip}: '
            f'{self.dimension:,} numbers an image, L2-normalised'
        )


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ','.join(map(str, value))
    return f'{value:,}' if isinstance(value, int) and not isinstance(value, bool) else str(value)


def parse_info(text: Optional[str]) -> dict[str, Any]:
    """What a file says of itself, from its JSON text.

    Raises:
        ValueError: if there is none, or it is something else.
    """
    if text is None:
        raise ValueError('it says nothing of its settings')
    info = json.loads(text)
    if not isinstance(info, dict):
        raise ValueError(f'its settings are {info!r}')
    Settings.from_info(info)
    return info
