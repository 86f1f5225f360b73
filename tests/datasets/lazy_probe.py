"""Helpers for the tests of lazy loading, some of which run this file in a process of its own.

python tests/datasets/lazy_probe.py WHAT prints JSON. ``fuzz COUNT [SEED]``: differences between
mutated JPEG files loaded at once and lazily. ``memory COUNT``: resident KiB before, after a third
of the images and after all. ``threads COUNT``: the same for the number of threads.
"""

import collections
import json
import sys

import cv2
import numpy as np
import pytest
from mmcv.transforms import Compose

from vgg_mm.datasets import LoadImage
from vgg_mm.datasets.transforms import lazy_image, region_decoder

needs_regions = pytest.mark.skipif(
    not region_decoder.is_installed(), reason="no nvImageCodec: pip install 'vgg_mm[fast]'"
)


def photo(height: int, width: int, seed: int) -> np.ndarray:
    """A uint8 BGR image with structure at several scales."""
    rng = np.random.default_rng(seed)
    image = sum(
        cv2.resize(rng.uniform(0, 255 / 3, (cells, cells, 3)), (width, height))
        for cells in (3, 9, 27)
    )
    return image.astype(np.uint8)


def encode(image: np.ndarray, **flags: int) -> bytes:
    """JPEG with OpenCV's flags, given by their names after IMWRITE_JPEG_."""
    pairs = [(getattr(cv2, f'IMWRITE_JPEG_{name}'), value) for name, value in flags.items()]
    return cv2.imencode('.jpg', image, [number for pair in pairs for number in pair])[1].tobytes()


def pipeline(lazy: bool, scale=(64, 128), crop_size=48, **load) -> Compose:
    return Compose(
        [
            dict(type='vgg_mm.LoadImage', lazy=lazy, **load),
            dict(type='vgg_mm.ScaleJitter', scale=scale, crop_size=crop_size),
        ]
    )


def outcome(steps: Compose, content: bytes, seed: int) -> tuple[str, str]:
    np.random.seed(seed)
    try:
        image = steps(dict(img_path='some/file', img_bytes=content))['img']
    except Exception as error:
        return type(error).__name__, str(error)
    return 'image', str((image.shape, image.dtype))


def load(content, **options):
    return LoadImage(**options).transform(dict(img_path='some/file', img_bytes=content))


def crop(content, seed=0, lazy=True, scale=(64, 128), crop_size=48, **extra):
    np.random.seed(seed)
    steps = pipeline(lazy, scale, crop_size)
    return steps(dict(img_path='some/file', img_bytes=content, **extra))


def undecodable(seed=0, size=(120, 160)):
    """A JPEG whose header is valid except for a Huffman table."""
    content = encode(photo(*size, seed))
    table = content.index(b'\xff\xc4') + 5
    return content[:table] + b'\xff' * 16 + content[table + 16 :]


def mutate(content: bytes, rng: np.random.Generator) -> bytes:
    """Changes bytes, removes, repeats or zeroes a block, or inserts a marker."""
    data = bytearray(content)
    place = int(rng.integers(2, len(data)))
    length = int(rng.integers(1, 200))
    kind = rng.integers(6)
    if kind == 0:
        for at in rng.integers(2, len(data), rng.integers(1, 10)):
            data[at] = rng.integers(256)
    elif kind == 1:
        del data[place : place + length]
    elif kind == 2:
        data[place:place] = data[place : place + length]
    elif kind == 3:
        data[place : place + length] = bytes(len(data[place : place + length]))
    elif kind == 4:
        data[place:place] = bytes([0xFF, rng.integers(0x01, 0xFF)])
    else:
        # In the header, where every byte matters.
        data[int(rng.integers(2, min(650, len(data))))] = rng.integers(256)
    return bytes(data)


def seeds_of_fuzz() -> list[bytes]:
    image = photo(150, 200, 0)
    return [
        encode(image, QUALITY=90),
        encode(image, QUALITY=60, RST_INTERVAL=5),
        encode(image, PROGRESSIVE=1),
        encode(image[..., 0]),
        encode(photo(400, 300, 1)),
    ]


def fuzz(count: int, seed: int) -> dict:
    rng = np.random.default_rng(seed)
    sources = seeds_of_fuzz()
    at_once, lazily = pipeline(lazy=False), pipeline(lazy=True)
    regions = _count_regions()
    different, kinds = [], collections.Counter()
    for number in range(count):
        content = mutate(sources[number % len(sources)], rng)
        outcomes = [outcome(steps, content, number) for steps in (at_once, lazily)]
        kinds[outcomes[0][0]] += 1
        if outcomes[0] != outcomes[1]:
            different.append((number, *outcomes))
    return dict(different=different, kinds=kinds, regions=regions['decoded'])


def _count_regions() -> dict:
    """Counts calls of the region decoder that gave pixels."""
    counts, decode_region = collections.Counter(), lazy_image.decode_region

    def counted(*args):
        region = decode_region(*args)
        counts['decoded'] += region is not None
        return region

    lazy_image.decode_region = counted
    return counts


def status(name: str) -> int:
    with open('/proc/self/status') as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name))


def run_many(count: int, measure: str) -> list[int]:
    steps = pipeline(lazy=True)
    files = [encode(photo(200 + 7 * i, 330 - 5 * i, i)) for i in range(20)]
    files += [seeds_of_fuzz()[0][:-40] + b'\xff\xd9', encode(photo(600, 600, 3))]
    found = [status(measure)]
    for number in range(count):
        outcome(steps, files[number % len(files)], number)
        if number in (count // 3, count - 1):
            found.append(status(measure))
    return found


def main(what: str, count: str, seed: str = '0') -> None:
    cv2.setNumThreads(0)
    if what == 'fuzz':
        print(json.dumps(fuzz(int(count), int(seed))))
    else:
        print(json.dumps(run_many(int(count), dict(memory='VmRSS', threads='Threads')[what])))


if __name__ == '__main__':
    main(*sys.argv[1:])
