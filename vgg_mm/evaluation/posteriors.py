"""Files of class posteriors: what testing keeps and what ensembles average."""

import json
import os
from typing import Any, NamedTuple, Union

import numpy as np

from vgg_mm.checkpoints.atomic_write import whole_file
from vgg_mm.installation import command

#: Key of the arrays of each protocol in the file.
_ARRAY = 'posteriors/'


class Posteriors(NamedTuple):
    """The class posteriors of a test set.

    ``scores`` has, for each protocol, (N, num_classes) float32; a row of NaN is an image that
    could not be read. ``labels`` is (N,) int64, ``names`` the N images' paths below the data
    folder, ``classes`` the class names in the order of the columns. ``info`` is their
    origin: the fields of a :class:`~vgg_mm.evaluation.TestRecord` that are known before the errors.
    """

    scores: dict[str, np.ndarray]
    labels: np.ndarray
    names: list[str]
    classes: list[str]
    info: dict

    def save(self, path: Union[str, os.PathLike]) -> None:
        """Write a ``.npz`` file, whole or not at all; its folder is made where it is missing."""
        arrays: dict[str, Any] = {
            f'{_ARRAY}{name}': np.float32(scores) for name, scores in self.scores.items()
        }
        with whole_file(path) as file:
            np.savez(
                file,
                labels=np.int64(self.labels),
                names=np.array(self.names, dtype=str),
                classes=np.array(self.classes, dtype=str),
                info=np.array(json.dumps(self.info)),
                **arrays,
            )


def load_posteriors(path: Union[str, os.PathLike]) -> Posteriors:
    """Read what :meth:`Posteriors.save` wrote; no code from the file is run.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: in one line, if it is another kind of file.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f'posteriors not found: {path}')
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        scores = {k.removeprefix(_ARRAY): v for k, v in arrays.items() if k.startswith(_ARRAY)}
        posteriors = Posteriors(
            scores,
            arrays['labels'],
            arrays['names'].tolist(),
            arrays['classes'].tolist(),
            json.loads(str(arrays['info'])),
        )
        _check(posteriors)
        return posteriors
    except Exception as error:
        # zipfile, numpy and json each have their own errors for a file of another kind.
        raise ValueError(
            f'{path} contains no posteriors ({command("test")} --out FILE.npz writes them): '
            f'{str(error).splitlines()[0] if str(error) else type(error).__name__}'
        ) from error


def _check(posteriors: Posteriors) -> None:
    """Check the parts of a file, which another program may have written."""
    scores, labels, names, classes, info = posteriors
    shape = len(names), len(classes)
    if not names or not scores:
        raise ValueError('it has no images' if scores else 'it has no protocol')
    for protocol, array in scores.items():
        if array.shape != shape or array.dtype.kind != 'f':
            raise ValueError(
                f'{protocol}: expected floats {shape}, got {array.dtype} {array.shape}'
            )
    if labels.shape != shape[:1] or labels.dtype.kind not in 'iu':
        raise ValueError(
            f'labels: expected integers {shape[:1]}, got {labels.dtype} {labels.shape}'
        )
    if labels.min() < 0 or labels.max() >= len(classes):
        raise ValueError(f'labels: {labels.min()} to {labels.max()} with {len(classes)} classes')
    for kind, entries in (('names', names), ('classes', classes)):
        if len(set(entries)) < len(entries):
            raise ValueError(f'{kind}: some occur twice')
    if not isinstance(info, dict):
        raise ValueError(f'info: expected a dictionary, got {info!r}')


def wrong_images(scores: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """Which images count as errors: the true class is not among the k most probable.

    Equal posteriors are ranked by class number. Images without posteriors (NaN) are errors.
    Scores (N, num_classes) and true classes (N,) give (N,) bool.

    Raises:
        ValueError: if there are fewer than k classes.
    """
    num_classes = scores.shape[1]
    if k > num_classes:
        raise ValueError(f'top-{k} error needs at least {k} classes, there are {num_classes}')
    true = np.take_along_axis(scores, labels[:, None], axis=1)
    earlier = np.arange(num_classes) < labels[:, None]
    rank = ((scores > true) | ((scores == true) & earlier)).sum(axis=1)
    return (rank >= k) | np.isnan(true[:, 0])
