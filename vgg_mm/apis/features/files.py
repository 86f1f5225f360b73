"""Images of a folder with their classes, and files of their features: Parquet and NumPy's npz."""

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple, Optional, Union

import numpy as np

from vgg_mm.datasets.class_names import sorted_names
from vgg_mm.installation import argument, command

from ..finetune.split import TRAIN_NAMES, VAL_NAMES
from ..inference.images import expand_source
from .parts import Part, parse_info

#: Label of an image that is in no class folder.
NO_LABEL = -1

PARQUET, NPZ = ENDINGS = '.parquet', '.npz'

#: Key of the settings in a Parquet file's metadata.
META_KEY = b'vgg_mm'


class Photos(NamedTuple):
    """Images in the order of the output.

    ``paths`` are relative to ``folder``; ``labels`` (N,) are places in ``classes``, or -1;
    ``digest`` changes with paths and sizes in bytes.
    """

    folder: str
    paths: list[str]
    labels: np.ndarray
    classes: list[str]
    digest: str

    def names(self) -> list[str]:
        """The paths as text, with ``/``."""
        return [_text(path.replace(os.sep, '/')) for path in self.paths]


def find_photos(folder: str) -> Photos:
    """All images below a folder: FOLDER/*, FOLDER/CLASS/* or FOLDER/{train,val,test}/CLASS/*.

    The class is the folder below FOLDER, or below that one if all images are in folders that are
    named as splits; an image that is in none has no class.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if it holds no image.
    """
    if not os.path.isdir(folder):
        raise FileNotFoundError(f'no folder {folder!r}')
    paths = [os.path.relpath(path, folder) for path in expand_source(folder)]
    folders = [path.split(os.sep)[:-1] for path in paths]
    below_splits = all(parts and parts[0].lower() in TRAIN_NAMES + VAL_NAMES for parts in folders)
    level = int(below_splits)
    names = [parts[level] if len(parts) > level else None for parts in folders]
    classes = sorted_names({name for name in names if name is not None})
    numbers: dict[Optional[str], int] = {name: number for number, name in enumerate(classes)}
    labels = np.array([numbers.get(name, NO_LABEL) for name in names], np.int64)
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        digest.update(os.fsencode(path))
        with suppress(OSError):  # reading it reports a link that leads nowhere
            digest.update(b'\0%d\n' % os.path.getsize(os.path.join(folder, path)))
    return Photos(folder, paths, labels, list(map(_text, classes)), digest.hexdigest())


def _text(name: str) -> str:
    """A file's name with ``\\udcxx`` for bytes that are no text."""
    return name.encode('utf-8', 'backslashreplace').decode()


class Features(NamedTuple):
    """The content of a file.

    ``values`` is float32 (N, dimension), NaN where an image could not be read, for the reason in
    ``errors``, which else is ''. ``labels`` (N,) are places in ``classes``, or -1; ``paths`` are
    relative to ``info['folder']``. ``info`` has the settings.
    """

    values: np.ndarray
    paths: list[str]
    labels: np.ndarray
    classes: list[str]
    errors: list[str]
    info: dict[str, Any]


def import_parquet() -> ModuleType:
    """The library for Parquet files; an ImportError of one line without it."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            'files of Parquet need a library: pip install pyarrow; or give '
            + argument('out', 'FILE.npz')
        ) from error
    return pyarrow.parquet


def write(path: str, ending: str, parts: Iterable[Part], photos: Photos, info: dict) -> None:
    """Write the photos' features in the format of the ending; one part is in memory at a time."""
    text = json.dumps(dict(info, classes=photos.classes), ensure_ascii=False)
    writer = _write_parquet if ending == PARQUET else _write_npz
    writer(path, parts, photos, info['dimension'], text)
    with open(path, 'rb+') as file:
        os.fsync(file.fileno())


def _write_npz(path: str, parts: Iterable[Part], photos: Photos, dimension: int, text: str) -> None:
    errors: list[str] = []
    shape = (len(photos.paths), dimension)
    with zipfile.ZipFile(path, 'w') as archive:
        with archive.open('features.npy', 'w', force_zip64=True) as file:
            header = dict(descr='<f4', fortran_order=False, shape=shape)
            np.lib.format.write_array_header_1_0(file, header)
            for part in parts:
                file.write(np.ascontiguousarray(part.features, '<f4').data)
                errors += map(_text, part.errors)
        arrays = dict(
            paths=np.array(photos.names(), np.str_),
            labels=photos.labels,
            classes=np.array(photos.classes, np.str_),
            errors=np.array(errors, np.str_),
            info=np.array(text),
        )
        for name, array in arrays.items():
            with archive.open(f'{name}.npy', 'w', force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def _write_parquet(
    path: str, parts: Iterable[Part], photos: Photos, dimension: int, text: str
) -> None:
    parquet = import_parquet()
    import pyarrow as pa

    schema = pa.schema(
        [
            ('path', pa.string()),
            ('label', pa.int32()),
            ('error', pa.string()),
            ('features', pa.list_(pa.float32(), dimension)),
            ('class', pa.string()),
        ],
        # Of bytes that are no text JSON's own escapes remain, which are read as they were.
        metadata={META_KEY: text.encode('utf-8', 'backslashreplace')},
    )
    names, first = photos.names(), 0
    classes = {NO_LABEL: None, **dict(enumerate(photos.classes))}
    options = dict(compression='zstd', use_dictionary=['class'])
    with parquet.ParquetWriter(path, schema, **options) as writer:
        for part in parts:
            last = first + len(part.errors)
            labels = photos.labels[first:last].tolist()
            broken = np.array([bool(error) for error in part.errors])
            columns = {
                'path': names[first:last],
                'label': [None if label == NO_LABEL else label for label in labels],
                'error': [_text(error) or None for error in part.errors],
                'features': pa.FixedSizeListArray.from_arrays(
                    pa.array(part.features.reshape(-1)), dimension, mask=pa.array(broken)
                ),
                'class': [classes[label] for label in labels],
            }
            writer.write_table(pa.table(columns, schema=schema))
            first = last


def read_info(path: str) -> dict[str, Any]:
    """The settings recorded in a file of features; errors as of load_features."""
    with _opened(path) as (info, _):
        return info


def broken_images_in(path: str) -> dict[str, str]:
    """The paths of a file's images that could not be read, and why; without its features."""
    with _opened(path) as (_, column):
        pairs = zip(column('paths').tolist(), column('errors').tolist())
        return {path: error for path, error in pairs if error}


def load_features(path: Union[str, os.PathLike]) -> Features:
    """Read a file of features that ``tools/extract_features.py`` wrote.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: in one line, if it is another kind of file.
        ImportError: if it needs a library.
    """
    with _opened(os.fspath(path)) as (info, column):
        values, labels, classes = column('features'), column('labels'), info['classes']
        paths, errors = column('paths').tolist(), column('errors').tolist()
        # The parts of a file that another program wrote may be inconsistent.
        shape = (info['count'], info['dimension'])
        if values.shape != shape or not len(paths) == len(labels) == len(errors) == len(values):
            raise ValueError(
                f'expected features {shape}, got {values.shape} of {len(paths)} images'
            )
        if len(labels) and not NO_LABEL <= labels.min() <= labels.max() < len(classes):
            raise ValueError(f'labels {labels.min()} to {labels.max()} with {len(classes)} classes')
        return Features(values, paths, labels, classes, errors, info)


@contextmanager
def _opened(path: str) -> Iterator[tuple[dict[str, Any], Callable[[str], np.ndarray]]]:
    """A file's settings, and a reader of columns: 'features', 'paths', 'labels' or 'errors'."""
    if not os.path.isfile(path):
        under_way = os.path.isdir(f'{path}.parts')
        more = ': its extraction is not finished' if under_way else ''
        raise FileNotFoundError(f'no file {path}{more}')
    with open(path, 'rb') as file:
        is_parquet = file.read(4) == b'PAR1'
    parquet = import_parquet() if is_parquet else None
    try:
        if parquet is None:
            with np.load(path, allow_pickle=False) as arrays:
                yield parse_info(str(arrays['info'])), arrays.__getitem__
        else:
            metadata = parquet.read_schema(path).metadata or {}
            yield parse_info(metadata.get(META_KEY)), partial(_parquet_column, parquet, path)
    except Exception as error:
        # pyarrow, zipfile, numpy and json each have their own errors for a file of another kind.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f'{path} contains no features ({command("features")} writes them): {reason}'
        ) from error


def _parquet_column(parquet: Any, path: str, name: str) -> np.ndarray:
    column_name = name if name == 'features' else name.removesuffix('s')
    column = parquet.read_table(path, columns=[column_name]).column(0).combine_chunks()
    if name == 'labels':
        return column.fill_null(NO_LABEL).to_numpy(zero_copy_only=False).astype(np.int64)
    if name != 'features':
        return np.array([text or '' for text in column.to_pylist()], np.str_)
    values = np.full((len(column), column.type.list_size), np.nan, np.float32)
    whole = ~column.is_null().to_numpy(zero_copy_only=False)
    values[whole] = column.drop_null().flatten().to_numpy().reshape(-1, values.shape[1])
    return values
