"""A linear probe on convolutions alone: python benchmarks/convolutions_probe.py WEIGHTS FOLDER

WEIGHTS are convolutions in any library's layout; FOLDER has train/CLASS/* and val/CLASS/*. The net
sees the central square of each photo at --size pixels. The mean and maximum of the last feature map
over all positions, scaled to unit length, are the input of a linear SVM. Prints its accuracy on the
photos of val.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from sklearn.svm import LinearSVC

from vgg_mm.apis.convert_weights import read_weights
from vgg_mm.kernels import accelerate
from vgg_mm.models import VGG


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('weights', metavar='WEIGHTS')
    parser.add_argument('folder', metavar='FOLDER', type=Path)
    parser.add_argument('--size', type=int, default=192)
    args = parser.parse_args()
    found = read_weights(args.weights)
    print(f'{found.net}; images: {found.preprocessing}')
    net = VGG(**found.net.backbone_config()).eval()
    net.load_state_dict({n.removeprefix('backbone.'): t for n, t in found.weights.items()})
    accelerate(net)
    start = time.perf_counter()
    features = {
        part: pooled_maps(net, found.preprocessing, args.folder / part, args.size)
        for part in ('train', 'val')
    }
    classes = sorted({label for _, label in features['train']})
    x, y = ({p: np.stack([one[i] for one in f]) for p, f in features.items()} for i in (0, 1))
    probe = LinearSVC(C=1.0, random_state=0).fit(x['train'], y['train'])
    right = (probe.predict(x['val']) == y['val']).mean()
    minutes = (time.perf_counter() - start) / 60
    counts = (
        f'{len(x["train"]):,} photos of {len(classes)} classes to fit on, {len(x["val"]):,} others'
    )
    print(f'{counts}: {100 * right:.1f} % right; {minutes:.1f} minutes')


@torch.inference_mode()
def pooled_maps(net: VGG, preprocessing, folder: Path, size: int) -> list[tuple[np.ndarray, str]]:
    """(mean and maximum of the last feature map, class) of every photo."""
    mean, std = (np.float32(values) for values in (preprocessing.mean, preprocessing.std))
    found = []
    for path in sorted(folder.glob('*/*')):
        image = cv2.imread(str(path))
        scale = size / min(image.shape[:2])
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        top, left = ((side - size) // 2 for side in image.shape[:2])
        image = image[top : top + size, left : left + size]
        image = image[..., ::-1] if preprocessing.to_rgb else image
        x = torch.from_numpy(((image - mean) / std).transpose(2, 0, 1).copy())[None]
        last = net(x)[-1][0].flatten(1)
        vector = torch.cat([last.mean(1), last.amax(1)])
        found.append(((vector / vector.norm()).numpy(), path.parent.name))
    return found


if __name__ == '__main__':
    main()
