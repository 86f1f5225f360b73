"""Names of classes: ImageNet's, and matching names with a net's classes."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Optional, TypeVar

from mmcv.transforms import BaseTransform

from vgg_mm.registry import TRANSFORMS

T = TypeVar('T')

#: The WordNet numbers by which ImageNet's class folders are named (ILSVRC-2012), in sorted order,
#: 'n01440764', 'n01443537' and so on. In it MMPretrain names the classes
#: (``mmpretrain.datasets.categories``), and published weights have them.
WNIDS = tuple(Path(__file__).with_name('imagenet_wnids.txt').read_text('ascii').split())


#: The key of a data set's metainfo with its own classes, where its labels are those of a net.
OWN_CLASSES = 'own_classes'


def own_classes(metainfo: Mapping) -> Sequence[str]:
    """The classes of a data set, also after its labels were matched with a net's."""
    return metainfo.get(OWN_CLASSES) or metainfo.get('classes') or ()


@cache
def imagenet_names() -> tuple[str, ...]:
    """MMPretrain's names of ImageNet's 1,000 classes, 'tench, Tinca tinca' and so on."""
    from mmpretrain.datasets.categories import IMAGENET_CATEGORIES

    return tuple(IMAGENET_CATEGORIES)


@cache
def _names_by_wnid() -> dict[str, str]:
    return dict(zip(WNIDS, imagenet_names()))


def readable(names: Sequence[str]) -> list[str]:
    """The names, or what MMPretrain calls them where all of them are WordNet numbers of ImageNet.

    >>> readable(['n01440764', 'n01443537'])
    ['tench, Tinca tinca', 'goldfish, Carassius auratus']
    """
    known = _names_by_wnid() if all(name in WNIDS for name in names) else {}
    return [known.get(name, name) for name in names]


def sorted_names(names: Iterable[str]) -> list[str]:
    """The names of classes in order: as numbers, if all of them are, else as text.

    >>> sorted_names({'10', '9', '1'})
    ['1', '9', '10']
    """
    found = sorted(names)
    return sorted(found, key=int) if are_numbers(found) else found


def are_numbers(names: Iterable[str]) -> bool:
    """Whether all names are whole numbers."""
    return all(name.isdecimal() for name in names)


def class_numbers(names: Sequence[str], classes: Sequence[str]) -> list[Optional[int]]:
    """The class of a net for each name.

    A class is matched by its name; by each of its synonyms, as in 'tench, Tinca tinca'; if it is
    one of ImageNet's, by its WordNet number as well. Case is ignored, ``_`` is a blank. If all
    names are numbers and no class is, they are the classes' numbers from 0 on.

    >>> class_numbers(['n01443537', 'Tinca_tinca', 'cat'], imagenet_names())
    [1, 0, None]
    >>> class_numbers(['1', '999', '1000'], imagenet_names())
    [1, 999, None]

    Args:
        names: E.g. of class folders.
        classes: The net's, in order.

    Returns:
        Places in ``classes``, None where it is none of them or several.
    """
    if are_numbers(names) and not any(name.isdecimal() for name in classes):
        return [int(name) if int(name) < len(classes) else None for name in names]
    exact = _unambiguous((name, number) for number, name in enumerate(classes))
    meanings = enumerate(_meanings(list(classes)))
    meant = _unambiguous((meaning, number) for number, all_ in meanings for meaning in all_)
    return [exact.get(name, meant.get(_plain(name))) for name in names]


@TRANSFORMS.register_module()
class MapLabels(BaseTransform):
    """Give ``gt_label`` the number that the net has for the class.

    Args:
        numbers: The net's number of each of the data set's classes, as :func:`class_numbers` gives
            them.
    """

    def __init__(self, numbers: Sequence[int]):
        self.numbers = list(numbers)

    def transform(self, results: dict) -> dict:
        results['gt_label'] = self.numbers[results['gt_label']]
        return results


def _unambiguous(pairs: Iterable[tuple[str, T]]) -> dict[str, T]:
    """The pairs whose first is in no other pair."""
    found = list(pairs)
    counts = Counter(name for name, _ in found)
    return {name: value for name, value in found if counts[name] == 1}


def _meanings(classes: list[str]) -> list[set[str]]:
    """What means each class, in plain letters."""
    if tuple(classes) == imagenet_names():
        wnids: Sequence[str] = WNIDS  # two of the names are the same
    else:
        known = _unambiguous(zip(imagenet_names(), WNIDS))
        wnids = [known.get(name, name) for name in classes]
    names = [_names_by_wnid().get(wnid, name) for name, wnid in zip(classes, wnids)]
    return [
        {_plain(one) for one in (*own, *full.split(','))}
        for full, *own in zip(names, names, classes, wnids)
    ]


def _plain(name: str) -> str:
    return ' '.join(name.replace('_', ' ').casefold().split())
