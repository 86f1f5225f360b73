"""The effect of resampling test images in another way than training images.

python benchmarks/resampling.py FOLDER [--scale 256 112] [--large 512 1024] [--weights FILE]

FOLDER holds photos, at any depth; those whose smaller side is below S are left out. A JPEG file is
rescaled in three ways: by OpenCV's bilinear interpolation of the whole image (MMPretrain's
ResizeEdge; formerly this package in testing), by the same after decoding at 1/2, 1/4 or 1/8
(formerly this package in training), and by this package's current resampling, in training and in
testing. The standard deviation of the Laplacian and the mean difference in grey levels are given
relative to Pillow's antialiased bilinear resampling.

With --weights (of VGG's convolutions) and FOLDER/{train,val}/CLASS/*: a linear classifier on the
mean and maximum of the last feature map, trained on photos that were rescaled in one way and tested
on others rescaled in each way; S is the last value of --scale, with central crops of that size.
Writes benchmarks/results/resampling.json and prints tables.
"""

import argparse
import json
import statistics
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import torch
from machine import describe
from PIL import Image

from vgg_mm.apis.tables import format_table
from vgg_mm.checkpoints import noted_preprocessing
from vgg_mm.checkpoints.safe_load import load_checkpoint
from vgg_mm.datasets import LoadImage
from vgg_mm.datasets.transforms.lazy_image import READ_REDUCED, LazyImage
from vgg_mm.datasets.transforms.resampling import rescale
from vgg_mm.datasets.transforms.rescale import rescaled_size
from vgg_mm.models import VGG

RESULT = Path(__file__).parent / 'results' / 'resampling.json'
BILINEAR, REDUCED = "OpenCV's bilinear", 'the same after decoding at 1/2, 1/4 or 1/8'
TRAINING, TESTING = 'this package, training', 'this package, testing'
WAYS = BILINEAR, REDUCED, TRAINING


def ways(path: Path, scale: int) -> dict[str, np.ndarray]:
    """A photo at S by each way and by Pillow, BGR; empty for no plain JPEG or a small one."""
    content = path.read_bytes()
    lazy = LoadImage(lazy=True)(dict(img_path=str(path), img_bytes=content))['img']
    if not isinstance(lazy, LazyImage) or min(lazy.shape[:2]) <= scale:
        return {}
    whole, size = np.array(lazy), rescaled_size(*lazy.shape[:2], scale)
    reduction = max(r for r in READ_REDUCED if r <= min(lazy.shape[:2]) / scale)
    reduced = cv2.imdecode(np.frombuffer(content, np.uint8), READ_REDUCED[reduction])
    pillows = Image.fromarray(whole).resize(size[::-1], Image.Resampling.BILINEAR)
    return {
        BILINEAR: cv2.resize(whole, size[::-1]),
        REDUCED: cv2.resize(reduced, size[::-1]),
        TRAINING: lazy.crop(size, (0, 0), size),
        TESTING: rescale(whole, size),
        'Pillow': np.asarray(pillows),
    }


def sharpness(image: np.ndarray) -> float:
    return cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.CV_64F).std()


def pixels(paths: list[Path], scale: int) -> dict[str, list[float]]:
    """(Laplacian's standard deviation over Pillow's, difference from Pillow) of each way."""
    found = defaultdict(list)
    for path in paths:
        images = ways(path, scale)
        for name, image in images.items():
            difference = np.abs(image.astype(int) - images['Pillow']).mean()
            found[name].append((sharpness(image) / sharpness(images['Pillow']), difference))
    means = {name: [statistics.mean(c) for c in zip(*pairs)] for name, pairs in found.items()}
    means['photos'] = [len(found['Pillow'])]
    return means


class Features:
    """Mean and maximum of net D's last map, from the weights in a file."""

    def __init__(self, weights: str):
        checkpoint = load_checkpoint(weights)
        self.preprocessing = noted_preprocessing(checkpoint)
        self.net = VGG('D').eval()
        start = 'backbone.'
        state = checkpoint['state_dict'].items()
        self.net.load_state_dict({k[len(start) :]: v for k, v in state if k.startswith(start)})

    @torch.inference_mode()
    def __call__(self, images: list[np.ndarray]) -> np.ndarray:
        batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()
        if self.preprocessing.to_rgb:
            batch = batch.flip(1)
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in self.preprocessing[1:3])
        (maps,) = self.net((batch - mean) / std)
        return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1).numpy()


def probe(folder: Path, scale: int, weights: str, count: int) -> dict[str, dict[str, float]]:
    """Accuracy of a linear classifier in percent, by the way of training and of testing."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, rng = Features(weights), np.random.default_rng(0)
    found, labels = {}, {}
    for split in ('train', 'val'):
        paths = sorted((folder / split).glob('*/*.jpg'))
        chosen = rng.permutation(len(paths))[:count]
        found[split], labels[split] = defaultdict(list), []
        for path in (paths[i] for i in chosen):
            images = ways(path, scale)
            if not images:
                continue
            labels[split].append(path.parent.name)
            crops = []
            for name in WAYS:
                top, left = ((side - scale) // 2 for side in images[name].shape[:2])
                crops.append(images[name][top : top + scale, left : left + scale])
            for name, vector in zip(WAYS, features(crops)):
                found[split][name].append(vector)
    result = {}
    for learnt in WAYS:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=2000))
        model.fit(found['train'][learnt], labels['train'])
        result[learnt] = {
            tested: 100 * model.score(found['val'][tested], labels['val']) for tested in WAYS
        }
    return dict(right=result, photos={split: len(names) for split, names in labels.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=Path)
    parser.add_argument('--scale', type=int, nargs='+', default=[256, 112])
    parser.add_argument(
        '--large', type=int, nargs=2, help='only photos whose smaller side is in this range'
    )
    parser.add_argument('--weights')
    parser.add_argument(
        '--photos', type=int, default=800, help='at most so many of a split, with --weights'
    )
    parser.add_argument('--out', type=Path, default=RESULT)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    paths = sorted(p for p in args.folder.rglob('*') if p.suffix.lower() in ('.jpg', '.jpeg'))
    if args.large:
        low, high = args.large
        paths = [p for p in paths if low <= min(Image.open(p).size) < high]
    report: dict = dict(machine=describe('opencv-python', 'numpy', 'torch', 'pillow'), pixels={})
    if args.out.exists():
        report |= json.loads(args.out.read_text())
    for scale in args.scale:
        means = pixels(paths[:: max(1, len(paths) // 200)], scale)
        (photos,) = means.pop('photos')
        report['pixels'][f'{args.folder.name}, {photos} photos, S = {scale}'] = means
        rows = [[name, *(f'{value:.2f}' for value in values)] for name, values in means.items()]
        print(f'\n{args.folder.name}, {photos} photos, S = {scale}\n')
        print(format_table(('way', 'Laplacian', 'grey levels'), rows))
    if args.weights:
        report['probe'] = probe(args.folder, args.scale[-1], args.weights, args.photos)
        right = report['probe']['right']
        rows = [
            [learnt, *(f'{v:.1f}' for v in tested.values())] for learnt, tested in right.items()
        ]
        print(f'\n{report["probe"]["photos"]} photos, percent right\n')
        print(format_table(('learnt from', *right), rows))
    args.out.write_text(json.dumps(report, indent=1) + '\n')


if __name__ == '__main__':
    main()
