"""Resident memory over many images: training crops from JPEG files, and dense testing at Q = 512.

python benchmarks/memory.py FOLDER [--crops 20000] [--tests 1000] [--only KIND ...]

Each kind runs in a process of its own. 'lazy' and 'lazy, nvImageCodec' (if that is installed): the
files in FOLDER and its subfolders, repeatedly, through LoadImage(lazy=True), ScaleJitter with S in
[256;512] and a flip; memory is recorded every 1,000 images. The other kinds: generated images of
512 x 512 to 512 x 900, with random widths in between, through a narrow net A with PaperTTA, four
per batch; recorded every 50 images. 'dense': as it is; 'dense, strips': with max_pixels=2**18, so
that images are processed in parts (it is first checked that both give the same posteriors); 'dense,
no caches': like 'dense', but without what oneDNN caches for each new shape and what malloc keeps of
freed memory, because of which 'dense' grows as long as shapes are new. Memory counts as flat if at
the end it exceeds that after 65 % of the images by no more than the goal. Writes
benchmarks/results/memory.json.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import goals
import numpy as np
import torch
from growth_curves import Tester, made_up_photo
from jitter import by_this_package
from machine import describe, device_name, memory_held, resident_memory
from mmengine.registry import DefaultScope

from vgg_mm.apis.image_folders import find_images
from vgg_mm.datasets.transforms import region_decoder

RESULT = Path(__file__).parent / 'results' / 'memory.json'
JITTER = ('lazy', 'lazy, nvImageCodec')
DENSE, STRIPS, NO_CACHES = 'dense', 'dense, strips', 'dense, no caches'
TESTS = {DENSE: 2**20, STRIPS: 2**18, NO_CACHES: 2**20}  # max_pixels
ENVIRONMENT = {
    'MALLOC_MMAP_THRESHOLD_': '65536',
    'ONEDNN_PRIMITIVE_CACHE_CAPACITY': '0',
    'LRU_CACHE_CAPACITY': '16',  # torch's own, in front of oneDNN's
}
Q, WIDEST, BATCH, BASE_CHANNELS = 512, 900, 4, 4


def crops(kind: str, folder: str) -> Iterator[Callable[[], object]]:
    """Calls, each of which makes a training crop."""
    run = by_this_package(lazy=True, regions=kind == JITTER[1])
    for path in cycle(find_images(folder)):
        yield partial(run, path)


def tests(kind: str) -> Iterator[Callable[[], object]]:
    """Calls, each of which tests a batch of images."""
    testers = [Tester(BASE_CHANNELS, max_pixels=TESTS[name]) for name in (DENSE, STRIPS)]
    photo = [made_up_photo(Q, WIDEST)]
    torch.testing.assert_close(
        *(tester.photos(photo, Q) for tester in testers), rtol=1e-3, atol=1e-7
    )
    rng = np.random.default_rng(0)
    while True:
        yield partial(test, testers[kind == STRIPS], rng.integers(Q, WIDEST + 1, BATCH).tolist())


def test(tester: Tester, widths: Sequence[int]) -> None:
    tester.photos([made_up_photo(Q, width) for width in widths], Q)


def course(runs: Iterator[Callable[[], object]], each: int, count: int, every: int) -> dict:
    """Bytes held after every ``every`` images; a call processes ``each`` images."""
    images, held = [], []
    for number, run in enumerate(islice(runs, -(-count // each)), start=1):
        run()
        if number * each // every > (number - 1) * each // every:
            images.append(number * each)
            held.append(resident_memory())
    return dict(images=images, resident=held, peak=memory_held())


def growth(found: dict) -> float:
    """Memory at the end relative to that after three fifths of the images."""
    held = found['resident']
    return held[-1] / held[len(held) * 3 // 5]


def child(args: argparse.Namespace) -> dict:
    with DefaultScope.overwrite_default_scope('mmpretrain'), torch.no_grad():
        if args.child in JITTER:
            torch.set_num_threads(1)
            return course(crops(args.child, args.folder), 1, args.crops, max(1, args.crops // 20))
        return course(tests(args.child), BATCH, args.tests, max(1, args.tests // 20))


def measure(args: argparse.Namespace, kind: str) -> dict:
    """The course of a kind, in a process of its own."""
    command = [sys.executable, __file__, args.folder, '--child', kind]
    command += ['--crops', str(args.crops), '--tests', str(args.tests)]
    environment = {**os.environ, **(ENVIRONMENT if kind == NO_CACHES else {})}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = [*JITTER, *TESTS]
    parser.add_argument('folder', help='folder with photos, searched recursively')
    parser.add_argument('--crops', type=int, default=20_000)
    parser.add_argument('--tests', type=int, default=1000)
    parser.add_argument('--only', nargs='+', choices=kinds, default=kinds)
    parser.add_argument('--out', type=Path, default=RESULT)
    parser.add_argument('--child', choices=kinds, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(child(args)))
        return
    result = dict(machine=describe('torch'), device=device_name(), courses={})
    for kind in args.only:
        if kind == JITTER[1] and not region_decoder.is_installed():
            print(f'{kind}: left out, nvImageCodec is not installed')
            continue
        found = result['courses'][kind] = measure(args, kind)
        print(
            f'{kind}: {found["resident"][-1] / 2**20:.0f} MiB after {found["images"][-1]} images, '
            f'{growth(found):.3f} times as much as after three fifths; goal {goals.MEMORY}: '
            f'{goals.MEMORY.verdict(growth(found))}',
            flush=True,
        )
    args.out.parent.mkdir(exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__':
    main()
