"""The curves of growth.py: what is run at each point, and how much work it is."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Optional

import cv2
import numpy as np
import torch
from communication_model.layers import counter
from machine import device
from mmcv.transforms import Compose
from mmengine.dataset import pseudo_collate
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from test_protocols import classifier
from torch.utils.data import DataLoader, Dataset

from vgg_mm.apis.runner import use_kernels
from vgg_mm.evaluation import Posteriors, load_posteriors
from vgg_mm.evaluation.ensemble import Member, ensembles

SCALES = (256, 320, 384, 448, 512, 640)
CLASSES = (250, 1000, 4000, 16000)
IMAGES = (4, 8, 16, 32)
WORKERS = (1, 2, 4)
NETS = (2, 4, 8, 16)

#: Values on the curves along which something else grows.
Q, BATCH, OF_WORKERS = 256, 4, 16

#: Images and classes of the files that ensembles average.
POSTERIORS = 2000, 1000


class Point(NamedTuple):
    """What is run at ``x``; ``work`` is in multiply-adds."""

    x: int
    run: Callable[[], object]
    work: float


class Curve(NamedTuple):
    """``expected`` says how the work grows, in words."""

    over: str
    expected: str
    points: list[Point]


#: (width of the net's first block, folder for files, number of points or None for all).
Maker = Callable[[int, Path, Optional[int]], Curve]


class Tester:
    """A narrow net with PaperTTA, from decoded photos or files to posteriors."""

    def __init__(self, width: int, protocol: str = 'dense', num_classes: int = 1000, **kwargs):
        net = classifier('A', width, num_classes)
        use_kernels(net)
        tta = dict(type='vgg_mm.PaperTTA', protocol=protocol, module=net, **kwargs)
        self.model = MODELS.build(tta).eval().to(device())

    def photos(self, images: Sequence[np.ndarray], q: int) -> torch.Tensor:
        """Posteriors of a batch of decoded photos, rescaled to Q."""
        steps = Compose([dict(type='vgg_mm.TestScales', scales=q), dict(type='PackInputs')])
        return self.posteriors([pseudo_collate([steps(dict(img=image)) for image in images])])

    def posteriors(self, data: Iterable[dict]) -> torch.Tensor:
        """(N, num_classes) of all batches, on the CPU, so that no GPU work is pending."""
        found: list[DataSample] = []
        for batch in data:
            found += self.model.test_step(batch)
        return torch.stack([sample.pred_score for sample in found]).cpu()

    def points(self, runs: Mapping[int, Callable[[], object]]) -> list[Point]:
        return [Point(x, run, self.multiply_adds(run)) for x, run in runs.items()]

    def multiply_adds(self, run: Callable[[], object]) -> int:
        """Multiply-adds of all convolutions and fully-connected layers during ``run()``."""
        counted: dict[str, int] = {}
        layers = list(self.model.named_modules())
        hooks = [layer.register_forward_hook(counter(name, counted)) for name, layer in layers]
        run()
        for hook in hooks:
            hook.remove()
        return sum(counted.values())


def made_up_photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth colours: uint8 BGR (height, width, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def photos(folder: Path, count: int) -> list[str]:
    """``count`` JPEG files of 2 megapixels; missing ones are written."""
    paths = [folder / f'{number:03}.jpg' for number in range(count)]
    for number, path in enumerate(paths):
        if not path.exists():
            cv2.imwrite(str(path), made_up_photo(1200, 1600, number))
    return list(map(str, paths))


class Files(Dataset):
    """Image files with a test pipeline."""

    def __init__(self, paths: Sequence[str]):
        self.paths = paths
        load, pack = dict(type='vgg_mm.LoadImage'), dict(type='PackInputs')
        self.steps = Compose([load, dict(type='vgg_mm.TestScales', scales=Q), pack])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict:
        return self.steps(dict(img_path=self.paths[index]))


def batches(paths: Sequence[str], workers: int = 0) -> DataLoader:
    """Files read as in a test; worker processes are kept from pass to pass."""
    return DataLoader(
        Files(paths), BATCH, num_workers=workers, persistent_workers=workers > 0,
        collate_fn=pseudo_collate,
    )  # fmt: skip


def over_q(protocol: str, expected: str) -> Maker:
    """With a square photo, which has Q^2 pixels."""

    def make(width: int, folder: Path, limit: Optional[int]) -> Curve:
        tester, photo = Tester(width, protocol), made_up_photo(500, 500)
        runs = {q: partial(tester.photos, [photo], q) for q in SCALES[:limit]}
        return Curve('Q', expected, tester.points(runs))

    return make


def over_classes(width: int, folder: Path, limit: Optional[int]) -> Curve:
    photo, points = made_up_photo(375, 500), []
    for number in CLASSES[:limit]:
        tester = Tester(width, num_classes=number)
        points += tester.points({number: partial(tester.photos, [photo] * BATCH, Q)})
    return Curve('classes', 'the convolutions stay, fc8 grows', points)


def over_images(width: int, folder: Path, limit: Optional[int]) -> Curve:
    tester, counts = Tester(width), IMAGES[:limit]
    paths = photos(folder, max(counts))
    each = tester.multiply_adds(partial(tester.posteriors, batches(paths[:1])))
    points = [Point(n, partial(tester.posteriors, batches(paths[:n])), n * each) for n in counts]
    return Curve('images', 'as the images', points)


def over_workers(width: int, folder: Path, limit: Optional[int]) -> Curve:
    tester, counts = Tester(width), WORKERS[:limit]
    paths = photos(folder, OF_WORKERS)
    each = tester.multiply_adds(partial(tester.posteriors, batches(paths[:1])))
    work = OF_WORKERS * each
    points = [Point(n, partial(tester.posteriors, batches(paths, n)), work) for n in counts]
    return Curve('loader workers', 'stays', points)


def over_nets(width: int, folder: Path, limit: Optional[int]) -> Curve:
    counts = NETS[:limit]
    members = posterior_files(folder, max(counts))
    images, classes = POSTERIORS
    points = [Point(n, partial(ensembles, members[:n]), n * images * classes) for n in counts]
    return Curve('nets', 'as the nets', points)


def posterior_files(folder: Path, count: int) -> list[Member]:
    """Files of random posteriors, as tests of ``count`` nets write them."""
    images, classes = POSTERIORS
    names = [f'{number:05}.jpg' for number in range(images)]
    words = [f'class {number}' for number in range(classes)]
    members = []
    for number in range(count):
        rng = np.random.default_rng(number)
        scores = rng.dirichlet(np.full(classes, 0.1), images).astype(np.float32)
        members.append(Member(str(folder / f'{number:02}.npz')))
        labels = np.arange(images) % classes
        Posteriors({'dense': scores}, labels, names, words, dict(net=str(number))).save(
            members[-1].path
        )
    return members


CURVES: dict[str, Maker] = {
    'dense': over_q('dense', 'as the pixels, Q^2; fc6 grows faster'),
    'multi_crop': over_q('multi_crop', 'the same crops at every Q'),
    'classes': over_classes,
    'images': over_images,
    'workers': over_workers,
    'nets': over_nets,
}


def check(width: int, folder: Path) -> None:
    """Check that what should give the same posteriors does, before it is timed."""
    same = partial(torch.testing.assert_close, rtol=1e-3, atol=1e-7)
    whole, strips = Tester(width), Tester(width, max_pixels=2**18)
    photo = [made_up_photo(512, 700)]
    found = whole.photos(photo, 512)
    assert found.max() > 2 * found.min(), 'posteriors that say nothing'
    same(found, strips.photos(photo, 512))
    # At Q = 224 a square photo is one window and one crop.
    square = [made_up_photo(224, 224)]
    same(whole.photos(square, 224), Tester(width, 'multi_crop').photos(square, 224))
    paths = photos(folder, BATCH + 2)
    found = whole.posteriors(batches(paths))
    same(found, whole.posteriors(batches(paths, workers=2)))
    same(found[:BATCH], whole.posteriors(batches(paths[:BATCH])))
    members = posterior_files(folder, 2)
    (ensemble,) = ensembles(members)
    mean = np.mean([load_posteriors(m.path).scores['dense'] for m in members], axis=0)
    np.testing.assert_allclose(ensemble.posteriors.scores['dense'], mean, rtol=1e-5)
