"""ImageNet's class names, and matching of names with classes."""

import random

from timm.data import ImageNetInfo

from vgg_mm.datasets.class_names import (
    WNIDS,
    class_numbers,
    imagenet_names,
    readable,
    sorted_names,
)


def test_numbers_and_names_equal_timms():
    info = ImageNetInfo()
    assert info.label_names() == list(WNIDS)
    same = [
        info.index_to_description(i).casefold() == name.casefold()
        for i, name in enumerate(imagenet_names())
    ]
    assert same.count(False) <= 2  # MMPretrain's spelling


def test_classes_of_names():
    names = ['n02012849', 'n03126707', 'crane', 'Tinca_tinca', 'tench', 'goldfish ', 'dog', '7']
    assert class_numbers(names, imagenet_names()) == [134, 517, None, 0, 0, 1, None, None]
    few = ['n01443537', 'n01440764']
    assert class_numbers(['tench', 'n01443537', 'tench, Tinca tinca'], few) == [1, 0, 1]
    assert readable(few) == ['goldfish, Carassius auratus', 'tench, Tinca tinca']
    assert class_numbers(few, readable(few)) == [0, 1]
    assert readable(['n01443537', 'cat']) == ['n01443537', 'cat'] and readable([]) == []
    assert class_numbers(['10', '2', 'a'], list('0123') + ['10']) == [4, 2, None]
    assert class_numbers(['shoe', 'Shoe', 'SHOE'], ['Shoe', 'shoe']) == [1, 0, None]


def test_names_that_are_numbers():
    """They sort by value; if the net's names are not numbers, they are class numbers."""
    assert sorted_names({'10', '9', '007', '1'}) == ['1', '007', '9', '10']
    assert sorted_names({'10', '9', 'a'}) == ['10', '9', 'a']
    assert class_numbers(['10', '2', '999', '1000'], imagenet_names()) == [10, 2, 999, None]
    assert class_numbers(['0', '2'], ['b', 'a']) == [0, None]
    assert class_numbers(['1', '2'], ['2', '1']) == [1, 0]


def test_any_order_of_imagenets_classes():
    order = random.Random(0).sample(range(1000), 1000)
    assert class_numbers([WNIDS[i] for i in order], imagenet_names()) == order
    assert class_numbers(WNIDS, [WNIDS[i] for i in order]) == [order.index(i) for i in range(1000)]
