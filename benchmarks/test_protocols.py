"""The paper's test protocols against MMPretrain's test-time augmentation, on the same photos.

python benchmarks/test_protocols.py FOLDER [--photos 40] [--batches N] [--amp] [--afresh]

Full-width VGG-16 with the same random weights on photos in FOLDER and its subfolders, at Q = 256,
384, 512, from JPEG file to posterior:

  (a) 150 views (5x5 crops, 2 flips, 3 scales) by mmcv's TestTimeAug and MMPretrain's
      AverageClsScoreTTA, their code unmodified, on images rescaled as in (b);
  (b) vgg_mm's multi_crop: the same 150 crops;
  (c) vgg_mm's dense evaluation with flips;
  (d) dense, multi_crop and both in one pass.

(a) runs torch's own convolutions in the default memory format, as MMPretrain's VGG and tools do;
(b) to (d) run those of this package's tools. The four take turns batch by batch, so that changes of
the machine's speed affect all of them. Posteriors of (a) and (b) are compared. After each batch,
its figures are added to benchmarks/results/test_protocols[_amp].json, on a GPU in results/gpu; a
later call resumes after the last batch, or starts from the first one with --afresh.
"""

import argparse
import json
import os
import statistics
import sys
import time
from pathlib import Path

import torch
from machine import device, device_name, memory_held, memory_held_by, results_folder
from mmcv.transforms import Compose
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS, TRANSFORMS
from timing import ratios, spread

import vgg_mm  # noqa: F401  (registers its parts)
from vgg_mm.apis.config import has_bfloat16
from vgg_mm.apis.image_folders import find_images
from vgg_mm.apis.runner import use_kernels
from vgg_mm.datasets.transforms.resampling import rescale
from vgg_mm.datasets.transforms.rescale import rescaled_size

SCALES, CROP, GRID = (256, 384, 512), 224, 5
#: How far apart posteriors of (a) and (b) may be; GPUs multiply float32 as TF32.
APART = {'cpu': 1e-4, 'cuda': 5e-3}
APART_BFLOAT16 = 0.1
ALL = ['dense', 'multi_crop', 'dense+multi_crop']
NAMES = {
    'a': 'MMPretrain, 150 views',
    'b': 'vgg_mm, multi_crop',
    'c': 'vgg_mm, dense',
    'd': 'vgg_mm, all three at once',
}


@TRANSFORMS.register_module()
class Rescale:
    """ResizeEdge for (a), with this package's pixels: antialiasing would change posteriors."""

    def __init__(self, scale: int):
        self.scale = scale

    def __call__(self, results: dict) -> dict:
        img = results['img']
        results['img'] = rescale(img, rescaled_size(*img.shape[:2], self.scale))
        results['img_shape'] = results['img'].shape[:2]
        return results


@TRANSFORMS.register_module()
class GridCrop:
    """A plain crop for (a) at a row and column of the grid, placed as by PaperTTA."""

    def __init__(self, row: int, column: int):
        self.place = row, column

    def __call__(self, results: dict) -> dict:
        img = results['img']
        top, left = (
            round((side - CROP) * i / (GRID - 1)) for side, i in zip(img.shape[:2], self.place)
        )
        results['img'] = img[top : top + CROP, left : left + CROP]
        results['img_shape'] = (CROP, CROP)
        return results


def peer_pipeline() -> list[dict]:
    grid = [dict(type='GridCrop', row=r, column=c) for r in range(GRID) for c in range(GRID)]
    flips = [dict(type='RandomFlip', prob=p, direction='horizontal') for p in (0.0, 1.0)]
    steps = [
        [dict(type='Rescale', scale=q) for q in SCALES],
        grid,
        flips,
        [dict(type='PackInputs')],
    ]
    return [dict(type='LoadImageFromFile'), dict(type='TestTimeAug', transforms=steps)]


def our_pipeline() -> list[dict]:
    return [
        dict(type='vgg_mm.LoadImage'),
        dict(type='vgg_mm.TestScales', scales=SCALES),
        dict(type='PackInputs'),
    ]


def classifier(
    arch: str = 'D', base_channels: int = 64, num_classes: int = 1000, **backbone
) -> torch.nn.Module:
    """A net of any width with random weights that give different posteriors."""
    torch.manual_seed(0)
    backbone.update(arch=arch, base_channels=base_channels, init_cfg=None)
    widths = dict(in_channels=8 * base_channels, fc_channels=64 * base_channels)
    net = MODELS.build(
        dict(
            type='ImageClassifier',
            data_preprocessor=dict(
                mean=[123.68, 116.779, 103.939], std=[1.0, 1.0, 1.0], to_rgb=True
            ),
            backbone=dict(type='vgg_mm.VGG', **backbone),
            head=dict(type='vgg_mm.ConvHead', num_classes=num_classes, init_cfg=None, **widths),
        )
    )
    for name, parameter in net.named_parameters():
        if name.endswith('bias'):
            torch.nn.init.zeros_(parameter)
        else:
            torch.nn.init.kaiming_normal_(parameter, nonlinearity='relu')
    with torch.no_grad():
        scores = net(128 * torch.randn(1, 3, CROP, CROP))
        net.head.fc8.weight.mul_(2 / scores.std())  # posteriors that differ without being 0 and 1
    return net.eval()


class Contender:
    """A pipeline and a model: from a file to posteriors."""

    def __init__(self, pipeline: list[dict], tta: dict, net: torch.nn.Module, device: str):
        self.pipeline = Compose(pipeline)
        self.model = MODELS.build(dict(tta, module=net)).eval().to(device)

    def __call__(self, paths: list[str]) -> dict[str, torch.Tensor]:
        """Protocol -> posteriors, (N, 1000); also counts the bytes that leave the pipeline."""
        items = [
            self.pipeline(dict(img_path=path, gt_label=0, sample_idx=i))
            for i, path in enumerate(paths)
        ]
        self.loader_bytes = sum(map(tensor_bytes, (item['inputs'] for item in items)))
        samples = self.model.test_step(pseudo_collate(items))
        each = [sample.get('pred_scores') or {'': sample.pred_score} for sample in samples]
        return {name: torch.stack([one[name] for one in each]).float().cpu() for name in each[0]}


def tensor_bytes(inputs) -> int:
    if isinstance(inputs, torch.Tensor):
        return inputs.numel() * inputs.element_size()
    return sum(map(tensor_bytes, inputs))


def contenders(device: str) -> dict[str, Contender]:
    """The four; (a) has a copy of the weights, and torch's layers."""
    plain, ours = classifier(), classifier()
    use_kernels(ours)
    made = {'a': Contender(peer_pipeline(), dict(type='AverageClsScoreTTA'), plain, device)}
    for key, protocol in (('b', 'multi_crop'), ('c', 'dense'), ('d', ALL)):
        tta = dict(type='vgg_mm.PaperTTA', protocol=protocol)
        made[key] = Contender(our_pipeline(), tta, ours, device)
    return made


def measure(made: dict[str, Contender], paths: list[str], amp: bool) -> dict:
    """Seconds and bytes per photo of every contender on one batch."""
    seconds, found = {}, {}
    for key, contender in made.items():
        # The peer stays in float32, as in common use.
        with torch.no_grad(), torch.autocast(device(), torch.bfloat16, enabled=amp and key != 'a'):
            start = time.perf_counter()
            found[key] = contender(paths)  # ends on the CPU, so no GPU work is pending
            seconds[key] = (time.perf_counter() - start) / len(paths)
    return dict(
        photos=[os.path.basename(path) for path in paths],
        seconds=seconds,
        loader_bytes={key: one.loader_bytes / len(paths) for key, one in made.items()},
        difference_a_b=(found['a'][''] - found['b']['']).abs().max().item(),
        largest_posterior=found['b'][''].max().item(),
    )


def settings(amp: bool) -> dict:
    return dict(
        device=device_name(), torch=torch.__version__, threads=torch.get_num_threads(), amp=amp
    )


def measure_all(batches: list[list[str]], amp: bool, most: int, file: Path) -> dict:
    """Measure up to ``most`` more batches, and add each to ``file``."""
    result = dict(settings(amp), batches=[])
    if file.exists():
        result = json.loads(file.read_text())
        here = settings(amp)
        if here != {key: result[key] for key in here}:
            sys.exit(f'{file} was measured under other settings than {here}; move it away')
    made = contenders(device())
    measured = len(result['batches'])
    for key in 'bc':  # to warm up, the quicker two are enough
        made[key](batches[0][:1])
    for paths in batches[measured : measured + most]:
        batch = measure(made, paths, amp)
        apart = APART_BFLOAT16 if amp else APART[device()]
        assert batch['difference_a_b'] < apart, f'posteriors differ: {batch}'
        print({key: round(spent, 2) for key, spent in batch['seconds'].items()}, flush=True)
        result['batches'].append(batch)
        file.write_text(json.dumps(result, indent=1))
    return result


def print_peak(key: str, path: str) -> None:
    """Print the peak memory of this process for one photo in bytes, libraries included."""
    with torch.no_grad():
        contenders(device())[key]([path])
    print(memory_held())


def summary(result: dict) -> str:
    batches = result['batches']
    seconds = {key: [batch['seconds'][key] for batch in batches] for key in NAMES}
    photos = sum(len(batch['photos']) for batch in batches)
    lines = [f'{photos} photos in {len(batches)} batches; medians (lowest to highest)']
    for key, name in NAMES.items():
        speed = spread(ratios(seconds['a'], seconds[key]))
        loaded = statistics.mean(batch['loader_bytes'][key] for batch in batches)
        lines.append(
            f'({key}) {name}: {statistics.median(seconds[key]):.2f} s a photo, '
            f'{speed} times the speed of (a), {loaded / 1e6:.1f} MB leave the loader, '
            f'peak memory {result["peak_memory"][key] / 2**30:.2f} GiB'
        )
    parts = [d / (b + c) for b, c, d in zip(*(seconds[key] for key in 'bcd'))]
    lines.append(f'(d) / ((b) + (c)): {spread(parts)}')
    apart = max(batch['difference_a_b'] for batch in batches)
    lines.append(f'(a) / (b): posteriors differ by {apart:.1e} at most')
    return '\n'.join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', help='folder with photos, searched recursively')
    parser.add_argument(
        '--photos', type=int, default=40, help='how many, spread evenly over the folder'
    )
    parser.add_argument('--batch', type=int, default=4, help='photos per batch')
    parser.add_argument(
        '--batches', type=int, default=10**6, help='at most so many batches in this call'
    )
    parser.add_argument('--amp', action='store_true', help='(b) to (d) in bfloat16')
    parser.add_argument('--afresh', action='store_true', help='discard earlier measurements')
    parser.add_argument('--peak', choices=NAMES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peak:
        print_peak(args.peak, args.folder)
        return
    if args.amp and not has_bfloat16():
        print('this processor emulates bfloat16: not measured')
        return
    found = find_images(args.folder)
    paths = [found[i * len(found) // args.photos] for i in range(args.photos)]
    batches = [paths[i : i + args.batch] for i in range(0, len(paths), args.batch)]
    file = results_folder() / ('test_protocols_amp.json' if args.amp else 'test_protocols.json')
    if args.afresh:
        file.unlink(missing_ok=True)
    result = measure_all(batches, args.amp, args.batches, file)
    if 'peak_memory' not in result:
        result['peak_memory'] = {k: memory_held_by(__file__, paths[0], '--peak', k) for k in NAMES}
        file.write_text(json.dumps(result, indent=1))
    print(summary(result))


if __name__ == '__main__':
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        main()
