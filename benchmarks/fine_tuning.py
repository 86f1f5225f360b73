"""Fine-tuning against the recipe of PyTorch's transfer-learning tutorial, from the same weights.

    python tools/finetune.py FOLDER --weights FILE.h5
    python benchmarks/fine_tuning.py FOLDER FILE.h5 --ours work_dirs/finetune_FOLDER/FOLDER

The tutorial's recipe with frozen convolutions, in torchvision and plain torch: random resized crops
and flips, torchvision's classifier (4096, 4096, classes) with its initialisation and dropout, SGD
with momentum 0.9 and no weight decay, batches of 32, the learning rate divided by ten after each 7
of 25 epochs; tested on the central 224 pixels of a photo at 256. As the convolutions are frozen,
their feature maps are computed once, for ``--views`` crops of each photo. Every ``--lr`` is tried,
and the net is tested after each epoch. The peer's result is the best of all these, chosen on the
very photos that it is tested on, which favours the peer.

FILE.h5 are the authors' convolutions of net D as Keras publishes them. After an interruption, the
same command resumes with the missing maps and learning rates.
"""

import argparse
import json
import time
from pathlib import Path

import h5py
import machine
import mmengine
import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torchvision.transforms import v2

from vgg_mm.evaluation import read_records
from vgg_mm.evaluation.test_record import wilson_interval

BATCH, EPOCHS, DROP_AFTER = 32, 25, 7

#: The authors' net expects BGR from 0 to 255 minus this mean.
MEAN_BGR = (103.939, 116.779, 123.68)

#: The tutorial's transforms, without its standardisation, which belongs to other weights.
TRAINING = [v2.RandomResizedCrop(224, antialias=True), v2.RandomHorizontalFlip()]
TESTING = [v2.Resize(256, antialias=True), v2.CenterCrop(224)]


def convolutions(path: str) -> torch.nn.Sequential:
    """torchvision's convolutions with the weights of the file, read without this package."""
    net = torchvision.models.vgg16(weights=None).features.eval()
    layers = [layer for layer in net if isinstance(layer, torch.nn.Conv2d)]
    with h5py.File(path) as file:
        names = [
            f'block{b}_conv{i + 1}' for b, n in enumerate((2, 2, 3, 3, 3), 1) for i in range(n)
        ]
        for name, layer in zip(names, layers):
            kernel, bias = (file[name][key][()] for key in sorted(file[name]))
            layer.weight.data = torch.from_numpy(kernel).permute(3, 2, 0, 1).contiguous()
            layer.bias.data = torch.from_numpy(bias)
    return net


@torch.inference_mode()
def maps_of(net: torch.nn.Module, folder: Path, steps: list, views: int) -> tuple:
    """Maps (photos, views, 512, 7, 7) in half precision, labels, and seconds."""
    torch.manual_seed(0)
    photos = torchvision.datasets.ImageFolder(str(folder), v2.Compose([v2.ToImage(), *steps]))
    mean = torch.tensor(MEAN_BGR)[:, None, None]
    maps = torch.empty(len(photos), views, 512, 7, 7, dtype=torch.half)
    started = time.monotonic()
    for view in range(views):
        for number, (image, _) in enumerate(photos):
            maps[number, view] = net((image.flip(0).float() - mean)[None])[0].half()
            if number % 200 == 0:
                print(
                    f'{folder.name} {view} {number} {time.monotonic() - started:.0f} s', flush=True
                )
    return maps, torch.tensor(photos.targets), time.monotonic() - started


def cached(path: Path, make) -> tuple:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(make(), path)
    return torch.load(path)


def train(train_maps, labels, val_maps, val_labels, lr: float) -> dict:
    """Train the classifier, and count its wrong answers after each epoch."""
    torch.manual_seed(0)
    net = torchvision.models.vgg16(num_classes=int(labels.max()) + 1, init_weights=True).classifier
    optimizer = torch.optim.SGD(net.parameters(), lr, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, DROP_AFTER)
    wrong, losses, started = [], [], time.monotonic()
    for epoch in range(EPOCHS):
        net.train()
        total = 0.0
        for batch in torch.randperm(len(labels)).split(BATCH):
            crops = train_maps[batch, (batch + epoch) % train_maps.shape[1]].float().flatten(1)
            optimizer.zero_grad()
            loss = F.cross_entropy(net(crops), labels[batch])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        schedule.step()
        net.eval()
        with torch.inference_mode():
            answers = torch.cat([net(part[:, 0].float().flatten(1)) for part in val_maps.split(64)])
        wrong.append(int((answers.argmax(1) != val_labels).sum()))
        losses.append(total / len(labels))
        print(
            f'rate {lr:g}, epoch {epoch + 1}: loss {losses[-1]:.3f}, {wrong[-1]} wrong', flush=True
        )
    return dict(lr=lr, wrong=wrong, losses=losses, seconds=time.monotonic() - started)


def errors(wrong: int, images: int) -> dict:
    low, high = wilson_interval(wrong, images)
    return dict(wrong=wrong, error=100 * wrong / images, interval=[100 * low, 100 * high])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=Path, help='with class folders in train and in val')
    parser.add_argument('weights', help="Keras's file of the authors' convolutions")
    parser.add_argument(
        '--ours', type=Path, required=True, help='folder of our run, already tested'
    )
    parser.add_argument('--views', type=int, default=2, help='crops of each training photo')
    parser.add_argument('--lr', type=float, nargs='+', default=[1e-3, 1e-2, 1e-4])
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/fine_tuning_benchmark'))
    parser.add_argument('--out', type=Path, default=machine.results_folder() / 'fine_tuning.json')
    args = parser.parse_args()
    net = convolutions(args.weights)
    maps, labels, seconds = cached(
        args.work_dir / f'train_{args.views}.pth',
        lambda: maps_of(net, args.folder / 'train', TRAINING, args.views),
    )
    val_maps, val_labels, _ = cached(
        args.work_dir / 'val.pth', lambda: maps_of(net, args.folder / 'val', TESTING, 1)
    )
    runs = []
    for lr in args.lr:
        path = args.work_dir / f'rate_{lr:g}.json'
        if not path.exists():
            mmengine.dump(train(maps, labels, val_maps, val_labels, lr), path)
        runs.append(json.loads(path.read_text()))
    peer = dict(
        runs=runs,
        views=args.views,
        seconds_of_maps=seconds,
        last={f'{run["lr"]:g}': errors(run['wrong'][-1], len(val_labels)) for run in runs},
        best=errors(int(np.min([run['wrong'] for run in runs])), len(val_labels)),
    )
    ours = [
        dict(protocol=r.protocol, scales=r.test_scales, **errors(r.wrong[1], r.images))
        for r in read_records(args.ours / 'test_results.jsonl')
    ]
    result = dict(ours=ours, torchvision=peer, machine=machine.describe('torch', 'torchvision'))
    mmengine.dump(result, args.out, indent=1)
    print(json.dumps(dict(ours=ours, last=peer['last'], best=peer['best']), indent=1))


if __name__ == '__main__':
    main()
