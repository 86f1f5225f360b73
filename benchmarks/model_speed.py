"""Training and inference of full-width VGG-16 against MMPretrain's, with the same weights.

    python benchmarks/model_speed.py FOLDER [--batch 8] [--repeats 5] [--amp]
    python benchmarks/model_speed.py FOLDER --memory

The peer is the model of MMPretrain's configs/vgg/vgg16_8xb32_in1k.py with its optimizer and its
training pipeline; ours is that of configs/vgg/vgg16_jitter_imagenet.py as the tools run it. An
iteration is ``train_step``: forward, backward, optimizer. 'with data' also reads and crops the
batch in the same process, from photos in FOLDER and its subfolders. All take turns. Before
anything is timed, it is checked that both give the same scores with the same weights. --memory
measures the peak memory of one training iteration in a process of its own, median of --repeats
processes each. Adds to benchmarks/results/model_speed.json.

--amp is bfloat16. On a CPU the peer has none (mmengine's AmpOptimWrapper needs a GPU) and stays in
float32; what it would gain from vgg_mm's optimizer wrapper is measured as well.
"""

import argparse
import json
import statistics
from functools import partial
from pathlib import Path

import mmpretrain
import torch
from machine import device, device_name, memory_held, memory_held_by, results_folder
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS, TRANSFORMS
from mmpretrain.structures import DataSample
from timing import in_turn, ratios, seconds, spread

import vgg_mm  # noqa: F401  (registers its parts)
from vgg_mm.apis.config import has_bfloat16
from vgg_mm.apis.image_folders import find_images
from vgg_mm.apis.runner import use_kernels

ROOT = Path(__file__).resolve().parent.parent
PEER = Path(mmpretrain.__file__).parent / '.mim/configs/vgg/vgg16_8xb32_in1k.py'
OURS = ROOT / 'configs/vgg/vgg16_jitter_imagenet.py'
CONFIGS = {'MMPretrain': PEER, 'vgg_mm': OURS}
#: The peer's net with mixed precision, which it does not have on a CPU.
HELPED = 'MMPretrain, autocast by vgg_mm'
#: Optimizer wrappers for mixed precision that --amp of each package's tools uses on a GPU.
WRAPPERS = {
    'MMPretrain': dict(type='AmpOptimWrapper', loss_scale='dynamic'),
    'vgg_mm': dict(type='vgg_mm.Bf16OptimWrapper'),
}
CROP = 224


class Contender:
    """A model with its optimizer and training pipeline.

    Args:
        name: Whose model, a key of ``CONFIGS``.
        device: 'cuda' or 'cpu'.
        amp: Whose optimizer wrapper, a key of ``WRAPPERS``; empty: float32.
        with_cp: Gradient checkpointing.
    """

    def __init__(self, name: str, device: str, amp: str = '', with_cp: bool = False):
        cfg = Config.fromfile(CONFIGS[name])
        if with_cp:
            cfg.model.backbone.with_cp = True
        self.autocast = partial(torch.autocast, device, torch.bfloat16, enabled=bool(amp))
        torch.manual_seed(0)
        self.model = MODELS.build(
            dict(
                cfg.model,
                data_preprocessor=cfg.get('data_preprocessor') or cfg.model.data_preprocessor,
            )
        ).to(device)
        if name == 'vgg_mm':
            use_kernels(self.model)  # as its tools do
        kind = dict(WRAPPERS[amp]) if amp else {}
        self.cudnn_benchmark = cfg.env_cfg.cudnn_benchmark
        self.optim = build_optim_wrapper(self.model, dict(cfg.optim_wrapper, **kind))
        self.pipeline = Compose(
            [TRANSFORMS.build(t) for t in cfg.train_dataloader.dataset.pipeline]
        )

    def batch(self, paths: list[str]) -> dict:
        items = [self.pipeline(dict(img_path=path, gt_label=0)) for path in paths]
        return pseudo_collate(items)

    def train(self, batch: dict) -> float:
        torch.backends.cudnn.benchmark = self.cudnn_benchmark
        self.model.train()
        return float(self.model.train_step(batch, self.optim)['loss'])

    def infer(self, batch: dict) -> None:
        self.model.eval()
        with torch.no_grad(), self.autocast():
            self.model.test_step(batch)


def contenders(device: str, amp: bool) -> dict[str, Contender]:
    if not amp or device != 'cpu':
        return {name: Contender(name, device, name if amp else '') for name in CONFIGS}
    return {
        'MMPretrain': Contender('MMPretrain', device),
        'vgg_mm': Contender('vgg_mm', device, 'vgg_mm'),
        HELPED: Contender('MMPretrain', device, 'vgg_mm'),
    }


def copy_weights(peer: torch.nn.Module, ours: torch.nn.Module) -> None:
    """Copy them in order: both nets list weights and biases of 16 layers from the input on."""
    target = dict(peer.named_parameters())
    source = [p for name, p in ours.named_parameters()]
    assert len(target) == len(source) == 32
    with torch.no_grad():
        for parameter, weights in zip(target.values(), source):
            parameter.copy_(weights.reshape(parameter.shape))


def random_batch(size: int) -> dict:
    torch.manual_seed(0)
    labels = torch.randint(1000, (size,))
    samples = [DataSample().set_gt_label(int(label)) for label in labels]
    inputs = torch.randint(256, (size, 3, CROP, CROP), dtype=torch.uint8)
    if torch.cuda.is_available():
        inputs = inputs.pin_memory()  # as both packages' loaders do
    return dict(inputs=inputs, data_samples=samples)


def check_equal(made: dict[str, Contender]) -> float:
    """Relative difference of both nets' scores on the same normalised images."""
    copy_weights(made['MMPretrain'].model, made['vgg_mm'].model)
    device = next(made['vgg_mm'].model.parameters()).device
    x = torch.randn(2, 3, CROP, CROP, device=device)
    scores = {}
    with torch.no_grad():
        for name in CONFIGS:
            one = made[name]
            one.model.eval()
            feats = one.model.extract_feat(x)
            scores[name] = one.model.head(feats)
    a, b = scores.values()
    difference = ((a - b).norm() / a.norm()).item()
    assert difference < 1e-4, f'the nets differ by {difference}'
    return difference


def measure(folder: str, size: int, repeats: int, amp: bool) -> dict:
    made = contenders(device(), amp)
    difference = check_equal(made)
    batch = random_batch(size)
    paths = find_images(folder)[:size]
    kinds = {'training iteration': lambda one: one.train(batch)}
    if device() == 'cpu':  # a GPU is fed by other processes: see loaders.py
        kinds['training iteration with data'] = lambda one: one.train(one.batch(paths))
    kinds['inference'] = lambda one: one.infer(batch)
    spent = {
        kind: in_turn({name: partial(seconds, step, one) for name, one in made.items()}, repeats)
        for kind, step in kinds.items()
    }
    return dict(batch=size, amp=amp, difference=difference, seconds=spent)


def peak(name: str, size: int, with_cp: bool) -> int:
    """Peak memory in bytes of one training iteration, in a process of its own."""
    words = ['.', '--peak', name, '--batch', str(size), *['--with-cp'] * with_cp]
    return memory_held_by(__file__, *words)


def peaks(size: int, repeats: int) -> dict:
    """Peak memory of each repetition; the nets take turns."""
    runs = {name: partial(peak, name, size, False) for name in CONFIGS}
    runs['vgg_mm, with_cp'] = partial(peak, 'vgg_mm', size, True)
    found: dict[str, list[int]] = {kind: [] for kind in runs}
    for _ in range(repeats):
        for kind, run in runs.items():
            found[kind].append(run())
    return dict(memory=found)


def print_peak(name: str, size: int, with_cp: bool) -> None:
    Contender(name, device(), with_cp=with_cp).train(random_batch(size))
    print(memory_held())


def report(result: dict) -> str:
    lines = []
    for kind, spent in result.get('seconds', {}).items():
        peer, own = spent['MMPretrain'], spent['vgg_mm']
        lines.append(
            f'{kind}: MMPretrain {statistics.median(peer):.2f} s, vgg_mm '
            f'{statistics.median(own):.2f} s, {spread(ratios(peer, own))} times as fast'
        )
        if helped := spent.get(HELPED):
            lines.append(f'  {HELPED}: {spread(ratios(peer, helped))} times as fast')
    memory = result.get('memory', {})
    for name, used in memory.items():
        lines.append(
            f'peak memory, {name}: {statistics.median(used) / 2**30:.2f} GiB, '
            f'{spread(ratios(used, memory["MMPretrain"]), ".3f")} times'
        )
    return '\n'.join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('folder', help='folder with photos, searched recursively')
    parser.add_argument('--batch', type=int, default=8)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--amp', action='store_true', help='in bfloat16')
    parser.add_argument('--memory', action='store_true')
    parser.add_argument('--peak', choices=CONFIGS, help=argparse.SUPPRESS)
    parser.add_argument('--with-cp', action='store_true', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peak:
        print_peak(args.peak, args.batch, args.with_cp)
        return
    if args.amp and not has_bfloat16():
        print('this processor emulates bfloat16: not measured')
        return
    if args.memory:
        key, result = f'memory at batch {args.batch}', peaks(args.batch, args.repeats)
    else:
        result = measure(args.folder, args.batch, args.repeats, args.amp)
        key = f'batch {args.batch}' + ', bfloat16' * args.amp
    result.update(device=device_name(), torch=torch.__version__, threads=torch.get_num_threads())
    file = results_folder() / 'model_speed.json'
    results = json.loads(file.read_text()) if file.exists() else {}
    results[key] = result
    file.write_text(json.dumps(results, indent=1))
    print(report(result))


if __name__ == '__main__':
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        main()
