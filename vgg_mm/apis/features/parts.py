"""The folder of an extraction under way: its settings, and parts that are finished."""

import io
import json
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Union

import numpy as np
from filelock import FileLock, Timeout

from vgg_mm.checkpoints import write_atomically
from vgg_mm.checkpoints.atomic_write import sync_folder
from vgg_mm.installation import argument

#: The ways to combine several test scales (Appendix B).
COMBINE = AVERAGE, STACK = 'average', 'stack'

#: What the features of training and test images must share.
SHARED = (
    'layer', 'dimension', 'scales', 'combine', 'flip', 'net', 'width', 'preprocessing', 'weights',
)  # fmt: skip

SETTINGS_FILE, LOCK_FILE, WHOLE_FILE = 'settings.json', 'lock', 'whole'

#: A file of finished features is written after this many images or seconds, whichever is first.
PART_IMAGES, PART_SECONDS = 1024, 20

#: Images FIRST to LAST - 1.
_PART = re.compile(r'(\d+)-(\d+)\.npz')


@dataclass(frozen=True)
class Settings:
    """All that the content of a file of features depends on.

    Args:
        layer: Name of the layer.
        dimension: Numbers an image, all scales together.
        scales: Test scales Q in pixels, in the order in which they are stacked.
        combine: 'average' or 'stack'.
        flip: Whether the mirrored image is used.
        net: Name in the paper's Table 1.
        width: ``base_channels``; 64 in the paper.
        preprocessing: Channel order, mean and deviation, as text.
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
        """From the metadata of a file.

        Raises:
            ValueError: if it is incomplete.
        """
        try:
            fields = {key: info[key] for key in cls.__dataclass_fields__}
            return cls(**{**fields, 'scales': tuple(fields['scales'])})
        except (KeyError, TypeError) as error:
            raise ValueError(f'its settings are incomplete ({error})') from error

    def differences(self, other: 'Settings', fields: tuple[str, ...] = ()) -> str:
        """The fields, of those given or of all, that differ in ``other``, as text; '' if none."""
        found = []
        for field in fields or tuple(self.__dataclass_fields__):
            mine, others = getattr(self, field), getattr(other, field)
            # Weights up to another layer always differ.
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


def parse_info(text: Union[str, bytes, None]) -> dict[str, Any]:
    """The metadata of a file, from its JSON text.

    Raises:
        ValueError: if there is none, or it is something else.
    """
    if text is None:
        raise ValueError('it contains no settings')
    info = json.loads(text)
    if not isinstance(info, dict):
        raise ValueError(f'its settings are not a dictionary: {info!r}')
    Settings.from_info(info)
    return info


class Part(NamedTuple):
    """Features (n, dimension) float32 of images one after the other.

    ``errors`` has for each the reason why it could not be read, or ''; those have NaN for features.
    """

    features: np.ndarray
    errors: list[str]


class Parts:
    """The folder ``OUT.parts``: what is finished, in files that are whole or not there.

    Args:
        out: The file that the features will be in at the end.
    """

    def __init__(self, out: str):
        self.out = out
        self.folder = f'{out}.parts'
        #: The complete file before it is renamed.
        self.whole = os.path.join(self.folder, WHOLE_FILE)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Create the folder and lock it against other processes.

        Raises:
            RuntimeError: if one has locked it.
            ValueError: if a folder of that name is something else.
        """
        if os.path.isdir(self.folder) and not self._is_own():
            raise ValueError(
                f'{self.folder} exists and is not an unfinished extraction; use another '
                f'{argument("out", "FILE")}'
            )
        os.makedirs(self.folder, exist_ok=True)
        lock = FileLock(os.path.join(self.folder, LOCK_FILE))
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise RuntimeError(
                f'another process is extracting into {self.out}: wait until it ends, or use '
                f'another {argument("out", "FILE")}'
            ) from None
        try:
            yield
        finally:
            if os.path.isdir(self.folder) and SETTINGS_FILE not in os.listdir(self.folder):
                shutil.rmtree(self.folder)  # nothing was begun
            lock.release()

    def _is_own(self) -> bool:
        """Whether it has settings, or is still empty."""
        names = set(os.listdir(self.folder))
        return SETTINGS_FILE in names or all(n == LOCK_FILE or n.startswith('.') for n in names)

    def begin(self, settings: Settings) -> int:
        """Resume, or begin; returns the number of finished images.

        Raises:
            ValueError: in one line, if the folder was started with other settings.
        """
        path = os.path.join(self.folder, SETTINGS_FILE)
        if os.path.isfile(path):
            with open(path, encoding='utf-8') as file:
                found = parse_info(file.read())
            check_same(settings, Settings.from_info(found), self.folder, 'was started with')
        else:
            write_atomically(path, json.dumps(asdict(settings), indent=1).encode())
        done = 0
        for first, last, name in self._files():
            if first == done:
                done = last
            else:  # one before it is missing: this one is computed again, too
                os.remove(os.path.join(self.folder, name))
        return done

    def _files(self) -> list[tuple[int, int, str]]:
        found = filter(None, map(_PART.fullmatch, os.listdir(self.folder)))
        return sorted((int(match[1]), int(match[2]), match[0]) for match in found)

    def write(self, first: int, parts: Iterable[Part]) -> None:
        """Write the features of the images from ``first`` on as they come, several to a file.

        At an error or interruption those that have come are written first.
        """
        unsaved: list[Part] = []
        since = time.monotonic()
        try:
            for part in parts:
                unsaved.append(part)
                images = sum(len(one.errors) for one in unsaved)
                if images >= PART_IMAGES or time.monotonic() - since >= PART_SECONDS:
                    complete, unsaved = unsaved, []
                    first = self.save(first, complete)
                    since = time.monotonic()
        finally:
            if unsaved:
                self.save(first, unsaved)

    def save(self, first: int, parts: Sequence[Part]) -> int:
        """Write a file of the images from ``first`` on; returns the number of the next image."""
        errors = [error for part in parts for error in part.errors]
        features = np.concatenate([part.features for part in parts])
        content = io.BytesIO()
        np.savez(content, features=features, errors=np.array(errors, np.str_))
        end = first + len(errors)
        path = os.path.join(self.folder, f'{first:09d}-{end:09d}.npz')
        write_atomically(path, content.getvalue())
        return end

    def __iter__(self) -> Iterator[Part]:
        """All of them, one in memory at a time.

        Raises:
            ValueError: naming the file, if one was damaged.
        """
        for first, last, name in self._files():
            path = os.path.join(self.folder, name)
            try:
                with np.load(path, allow_pickle=False) as file:
                    part = Part(file['features'], file['errors'].tolist())
                whole = len(part.features) == len(part.errors) == last - first
            except Exception:  # zipfile and numpy have many for a damaged file
                whole = False
            if not whole:
                raise ValueError(
                    f'{path} is damaged: delete it and run the same command again to resume'
                )
            yield part

    def remove(self) -> None:
        """Remove all, once the complete file is safely on the disk."""
        sync_folder(os.path.dirname(self.out) or '.')
        # The settings mark the folder as one of these: they are removed last.
        for name in set(os.listdir(self.folder)) - {SETTINGS_FILE, LOCK_FILE}:
            os.remove(os.path.join(self.folder, name))
        shutil.rmtree(self.folder)


def check_same(wanted: Settings, found: Settings, path: str, what: str) -> None:
    """Refuse to mix features of different settings.

    Raises:
        ValueError: naming what differs.
    """
    if differences := wanted.differences(found):
        raise ValueError(
            f'{path} {what} other settings ({differences}): use another '
            f'{argument("out", "FILE")}, or delete it'
        )
