"""From JPEG file to training crop, side by side: MMPretrain, torchvision, PIL and this package.

python benchmarks/jitter.py FOLDER [--repetitions 7] [--large 16] [--large-repetitions 5]

FOLDER holds JPEG files, at any depth. S is drawn from [256, 512], followed by a random crop of 224
and a flip: file to uint8 tensor (3, 224, 224), on one core, one thread. There are two sets: the
files, and a sample of them enlarged to 12 megapixels and encoded again at quality 90. All pipelines
make the same random draws; their results are compared before anything is timed. All take a turn in
each repetition, in an order that rotates. CPU time is reported, which other jobs on the machine
distort least; the raw data have wall time, too. Writes benchmarks/results/jitter.json and prints
tables.

Needs nvImageCodec: pip install 'vgg_mm[fast]'.
"""

import argparse
import functools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import goals
import mmpretrain.datasets  # noqa: F401 (registers the transforms)
import numpy as np
import torch
import torchvision
from machine import describe
from mmcv.transforms import Compose
from mmengine.registry import DefaultScope
from PIL import Image
from timing import ratios, spread
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as v2

import vgg_mm  # noqa: F401
from vgg_mm.datasets.transforms import lazy_image, region_decoder
from vgg_mm.datasets.transforms.rescale import rescaled_size

RESULT = Path(__file__).parent / 'results' / 'jitter.json'
S_MIN, S_MAX, CROP = 256, 512, 224
DECODING, MMPRETRAIN = 'decoding alone', 'MMPretrain'
PLAIN, LAZY, REGIONS = 'vgg_mm, lazy=False', 'vgg_mm, lazy=True', 'vgg_mm, with nvImageCodec'
TORCHVISION, PIL, PIL_DRAFT = 'torchvision v2', 'PIL', 'PIL with draft()'

Pipeline = Callable[[str], torch.Tensor]


def by_mmpretrain() -> Pipeline:
    """MMPretrain's own steps; ResizeEdge has a single scale, so there is one for each S."""
    load, crop, flip, pack = (
        Compose([dict(type=kind, **kwargs)])
        for kind, kwargs in (
            ('LoadImageFromFile', {}),
            ('RandomCrop', dict(crop_size=CROP)),
            ('RandomFlip', dict(prob=0.5, direction='horizontal')),
            ('PackInputs', {}),
        )
    )
    resize = {
        s: Compose([dict(type='ResizeEdge', scale=s, edge='short')])
        for s in range(S_MIN, S_MAX + 1)
    }

    def run(path: str) -> torch.Tensor:
        results = load(dict(img_path=path))
        results = resize[np.random.randint(S_MIN, S_MAX + 1)](results)
        return pack(flip(crop(results)))['inputs']

    return run


def by_this_package(lazy: bool, regions: bool) -> Pipeline:
    steps = Compose(
        [
            dict(type='vgg_mm.LoadImage', lazy=lazy),
            dict(type='vgg_mm.ScaleJitter', scale=(S_MIN, S_MAX), crop_size=CROP),
            dict(type='vgg_mm.RandomHorizontalFlip', prob=0.5),
            dict(type='PackInputs'),
        ]
    )

    def run(path: str) -> torch.Tensor:
        return steps(dict(img_path=path))['inputs']

    def without_regions(path: str) -> torch.Tensor:
        decode_region, lazy_image.decode_region = lazy_image.decode_region, lambda *_: None
        try:
            return run(path)
        finally:
            lazy_image.decode_region = decode_region

    return run if regions or not lazy else without_regions


def draw(height: int, width: int) -> tuple[tuple[int, int], int, int]:
    size = rescaled_size(height, width, np.random.randint(S_MIN, S_MAX + 1))
    return size, *(np.random.randint(0, side - CROP + 1) for side in size)


def draw_flip() -> bool:
    """Draw a flip as mmcv's RandomFlip does."""
    return np.random.choice(['horizontal', None], p=[0.5, 0.5]) is not None


def by_torchvision(path: str) -> torch.Tensor:
    image = torchvision.io.decode_image(path, mode='RGB')
    size, top, left = draw(*image.shape[-2:])
    image = v2.resize(image, list(size), InterpolationMode.BILINEAR, antialias=True)
    image = v2.crop(image, top, left, CROP, CROP)
    return v2.horizontal_flip(image) if draw_flip() else image


def by_pil(path: str, draft: bool = False) -> torch.Tensor:
    with Image.open(path) as file:
        (height, width), top, left = draw(*file.size[::-1])
        if draft:
            file.draft('RGB', (width, height))
        image = file.convert('RGB').resize((width, height), Image.Resampling.BILINEAR)
    image = image.crop((left, top, left + CROP, top + CROP))
    if draw_flip():
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def decode(path: str) -> None:
    with open(path, 'rb') as file:
        cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR)


def pipelines() -> dict[str, Pipeline]:
    return {
        DECODING: decode,
        MMPRETRAIN: by_mmpretrain(),
        TORCHVISION: by_torchvision,
        PIL: by_pil,
        PIL_DRAFT: functools.partial(by_pil, draft=True),
        PLAIN: by_this_package(lazy=False, regions=False),
        LAZY: by_this_package(lazy=True, regions=False),
        REGIONS: by_this_package(lazy=True, regions=True),
    }


def compare(runs: dict[str, Pipeline], paths: Sequence[str]) -> dict[str, float]:
    """Mean differences over the images, in grey levels; fails if one is too large."""
    found: dict[str, list[float]] = {}
    for number, path in enumerate(paths):
        images = {}
        for name, run in runs.items():
            np.random.seed(number)
            out = run(path)
            if out is None:
                continue
            assert out.shape == (3, CROP, CROP) and out.dtype == torch.uint8, name
            bgr = 'vgg_mm' in name or name == MMPRETRAIN
            images[name] = (out.flip(0) if bgr else out).int()
        np.random.seed(number)
        with Image.open(path) as file:
            factor = file.size[0] / draw(*file.size[::-1])[0][1]
        assert torch.equal(images[LAZY], images[REGIONS]), path
        by_how_much = ', enlarged' if factor < 1 else ', at most halved' if factor < 2 else ', more'
        for one, other in ((LAZY, PLAIN), (LAZY, PIL), (MMPRETRAIN, PIL), (TORCHVISION, PIL)):
            apart = (images[one] - images[other]).abs().float().mean()
            found.setdefault(f'{one} to {other}{by_how_much}', []).append(float(apart))
    means = {name: statistics.mean(values) for name, values in sorted(found.items())}
    for name, mean in means.items():
        assert mean <= 1 or not name.startswith((f'{LAZY} to {PLAIN}', TORCHVISION)), means
        if name.startswith(f'{LAZY} to {PIL}'):
            assert mean <= means[name.replace(LAZY, MMPRETRAIN)] + 0.05, means
    return means


def measure(
    runs: dict[str, Pipeline], paths: Sequence[str], repetitions: int
) -> dict[str, dict[str, list[float]]]:
    """Seconds per image, CPU and wall, of every repetition."""
    times = {name: dict(cpu=[], wall=[]) for name in runs}
    names = list(runs)
    for repetition in range(repetitions):
        turn = repetition % len(names)
        for name in names[turn:] + names[:turn]:
            np.random.seed(repetition)
            cpu, wall = time.process_time(), time.perf_counter()
            for path in paths:
                runs[name](path)
            times[name]['cpu'].append((time.process_time() - cpu) / len(paths))
            times[name]['wall'].append((time.perf_counter() - wall) / len(paths))
    return times


def speed(times: dict, name: str, peer: str) -> list[float]:
    """How many times as fast as the peer, in each repetition."""
    return ratios(times[peer]['cpu'], times[name]['cpu'])


def table(times: dict, wanted: dict[str, goals.Goal]) -> str:
    lines = [
        '| pipeline | img/s | against MMPretrain | against decoding alone |',
        '|---|---|---|---|',
    ]
    for name in times:
        against = [spread(speed(times, name, peer)) for peer in (MMPRETRAIN, DECODING)]
        rate = 1 / statistics.median(times[name]['cpu'])
        lines.append(f'| {name} | {rate:.0f} | {" | ".join(against)} |')
    for peer, goal in wanted.items():
        found = statistics.median(speed(times, REGIONS, peer))
        lines.append(f'\nGoal against {peer}: {goal}, {goal.verdict(found)} ({found:.2f}).')
    return '\n'.join(lines)


def enlarge(paths: Sequence[str], count: int, folder: str) -> list[str]:
    """Copies of some files at 12 megapixels."""
    made = []
    for number in range(count):
        image = cv2.imread(paths[number * len(paths) // count])
        factor = (12e6 / (image.shape[0] * image.shape[1])) ** 0.5
        image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
        made.append(os.path.join(folder, f'{number}.jpg'))
        cv2.imwrite(made[-1], image, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder')
    parser.add_argument('--repetitions', type=int, default=7)
    parser.add_argument('--large', type=int, default=16, help='number of 12-megapixel files')
    parser.add_argument('--large-repetitions', type=int, default=5)
    parser.add_argument('--out', type=Path, default=RESULT)
    args = parser.parse_args()
    endings = ('.jpg', '.jpeg')
    paths = sorted(str(p) for p in Path(args.folder).rglob('*') if p.suffix.lower() in endings)
    if not paths:
        sys.exit(f'no JPEG files in {args.folder}')
    if not region_decoder.is_installed() or region_decoder._import_codec() is None:
        sys.exit("nvImageCodec is not installed: pip install 'vgg_mm[fast]'")
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    machine = describe('opencv-python', 'numpy', 'torch', 'torchvision', 'pillow')
    machine['nvimgcodec'] = region_decoder._import_codec().__version__
    report: dict[str, dict] = dict(machine=machine)
    with DefaultScope.overwrite_default_scope('mmpretrain'), tempfile.TemporaryDirectory() as large:
        runs = pipelines()
        sets = {
            'photos': (paths, args.repetitions),
            '12 megapixels': (enlarge(paths, args.large, large), args.large_repetitions),
        }
        for name, (files, repetitions) in sets.items():
            means = compare(runs, files)
            times = measure(runs, files, repetitions)
            report[name] = dict(images=len(files), differences=means, seconds_per_image=times)
            print(f'\n## {name}: {len(files)} files, {repetitions} repetitions\n')
            print(table(times, goals.JITTER[name]))
            print(
                '\n' + '\n'.join(f'{what}: {mean:.3f} grey levels' for what, mean in means.items())
            )
    args.out.parent.mkdir(exist_ok=True)
    args.out.write_text(json.dumps(report, indent=1) + '\n')


if __name__ == '__main__':
    main()
