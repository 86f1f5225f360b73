"""Training crops per second that data loader workers deliver, to compare with training.

    python benchmarks/loaders.py FOLDER [--workers 1 2 4 8 16] [--batches 12]

The training pipelines of configs/vgg/vgg16_jitter_imagenet.py and of MMPretrain's
vgg16_8xb32_in1k.py, batches of 64 photos from FOLDER and its subfolders, repeated as needed,
through torch's DataLoader as the tools set it up. The first batch of each worker is not counted.
Writes benchmarks/results/loaders.json, on a GPU machine in results/gpu.
"""

import argparse
import json
import os
import time
from pathlib import Path

import torch
from machine import describe, device_name, results_folder
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.utils.dl_utils import set_multi_processing
from mmpretrain.registry import TRANSFORMS
from model_speed import CONFIGS
from torch.utils.data import DataLoader, Dataset, default_collate

import vgg_mm  # noqa: F401  (registers its parts)
from vgg_mm.apis.image_folders import find_images

BATCH = 64


class Photos(Dataset):
    """The crops of a training pipeline, without their data samples."""

    def __init__(self, paths: list[str], pipeline: list[dict], length: int):
        self.paths = paths
        self.pipeline = Compose([TRANSFORMS.build(step) for step in pipeline])
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> torch.Tensor:
        path = self.paths[index % len(self.paths)]
        return self.pipeline(dict(img_path=path, gt_label=0))['inputs']


def rate(paths: list[str], pipeline: list[dict], workers: int, batches: int) -> float:
    """Images per second."""
    dataset = Photos(paths, pipeline, BATCH * workers * (batches + 1))
    loader = DataLoader(
        dataset, BATCH, num_workers=workers, collate_fn=default_collate,
        pin_memory=torch.cuda.is_available(), persistent_workers=True,
    )  # fmt: skip
    started, counted = 0.0, 0
    for number, images in enumerate(loader, start=1):
        if number == workers:
            started = time.perf_counter()
        elif number > workers:
            counted += len(images)
    return counted / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', help='folder with photos, searched recursively')
    parser.add_argument('--workers', nargs='+', type=int, default=[1, 2, 4, 8, 16])
    parser.add_argument('--batches', type=int, default=12, help='batches per worker')
    parser.add_argument('--out', type=Path, help='default: in benchmarks/results')
    args = parser.parse_args()
    set_multi_processing(distributed=False)  # as the runner does: one thread in each worker
    paths = find_images(args.folder)
    found: dict[str, dict[int, float]] = {name: {} for name in CONFIGS}
    for workers in (w for w in args.workers if w <= (os.cpu_count() or 1)):
        for name, config in CONFIGS.items():
            pipeline = Config.fromfile(config).train_dataloader.dataset.pipeline
            found[name][workers] = rate(paths, pipeline, workers, args.batches)
            print(f'{name}, {workers} workers: {found[name][workers]:.0f} images/s', flush=True)
    result = dict(describe('torch'), device=device_name(), batch=BATCH, images_a_second=found)
    out = args.out or results_folder() / 'loaders.json'
    out.write_text(json.dumps(result, indent=1))


if __name__ == '__main__':
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        main()
