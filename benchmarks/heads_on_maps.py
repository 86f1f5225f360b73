"""The best head, learning rate and weight decay: heads on cached maps, a fifth held out.

    python benchmarks/heads_on_maps.py work_dirs/finetune_FOLDER/FOLDER --out heads.json

reads the feature maps that ``tools/finetune.py --cache-maps on`` wrote, trains each head below on
the views of four fifths of the *training* photos, and tests it on those of the other fifth, so that
the validation photos have no part in the choice.
"""

import argparse
import glob
import json
import os
import time
from typing import Optional, Union

import mmengine
import numpy as np
import torch
import torch.nn.functional as F

from vgg_mm.evaluation.test_record import wilson_interval
from vgg_mm.models import ConvHead

#: The settings that are compared: arguments of :func:`measure`.
SETTINGS = [
    *(dict(head='gap', lr=lr) for lr in (1e-3, 3e-3, 1e-2, 3e-2)),
    *(dict(head='gap', lr=1e-2, weight_decay=decay) for decay in (5e-3, 5e-2, 0.1, 0.2, 0.5)),
    dict(head='gap', lr=3e-3, weight_decay=0.2),
    *(dict(head='gap', lr=1e-2, epochs=epochs) for epochs in (15, 60)),
    dict(head='gap', lr=1e-2, clip=None),
    dict(head='gap', lr=1e-2, views=1),
    *(dict(head=512, lr=lr) for lr in (3e-3, 1e-2, 3e-2)),
    dict(head=512, lr=1e-2, views=1),
    dict(head=128, lr=1e-2),
]

BATCH, HELD_OUT, DROPS = 32, 0.2, (0.6, 0.85)


def read(folder: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps (photos, views, C, h, w) in half precision, and labels (photos,)."""
    views: dict[int, list] = {}
    labels: dict[int, list[int]] = {}
    for path in sorted(glob.glob(os.path.join(folder, 'maps', 'train', '*.npy'))):
        view = int(os.path.basename(path).split('-')[0])
        with open(f'{os.path.splitext(path)[0]}.json', encoding='utf-8') as file:
            labels.setdefault(view, []).extend(entry['label'][0] for entry in json.load(file))
        views.setdefault(view, []).append(np.load(path))
    if not views:
        raise SystemExit(
            f'error: no maps in {folder}: tools/finetune.py --cache-maps on makes them'
        )
    maps = np.stack([np.concatenate(views[view]) for view in sorted(views)], axis=1)
    return torch.from_numpy(maps), torch.tensor(labels[0])


def split(labels: torch.Tensor, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices of the photos to train on, and of those held out: a fifth of each class."""
    draw = np.random.default_rng(seed)
    held = []
    for label in labels.unique():
        own = draw.permutation(np.flatnonzero(labels.numpy() == label.item()))
        held += own[: round(HELD_OUT * len(own))].tolist()
    rest = sorted(set(range(len(labels))) - set(held))
    return torch.tensor(rest), torch.tensor(sorted(held))


def measure(
    maps: torch.Tensor,
    labels: torch.Tensor,
    head: Union[str, int],
    lr: float,
    weight_decay: float = 5e-4,
    epochs: int = 30,
    clip: Optional[float] = 5.0,
    views: int = 2,
    seed: int = 0,
) -> dict:
    """The error of a head ('gap' or a width of fc6, fc7) trained as ``tools/finetune.py`` does."""
    started = time.process_time()
    torch.manual_seed(seed)
    train, held = split(labels, seed)
    width, kernel = ((), 1) if head == 'gap' else (head, maps.shape[-1])
    net = ConvHead(int(labels.max()) + 1, maps.shape[2], width, kernel)
    net.init_weights()
    optimizer = torch.optim.SGD(net.parameters(), lr, 0.9, weight_decay=weight_decay)
    steps = [max(1, round(share * epochs)) for share in DROPS]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, steps)
    net.train()
    for epoch in range(epochs):
        for batch in train[torch.randperm(len(train))].split(BATCH):
            crops = maps[batch, (epoch + batch) % views].float()
            optimizer.zero_grad()
            F.cross_entropy(net((crops,)), labels[batch]).backward()
            if clip:
                torch.nn.utils.clip_grad_norm_(net.parameters(), clip)
            optimizer.step()
        schedule.step()
    net.eval()
    with torch.no_grad():
        scores = [
            torch.cat([net((maps[part, view].float(),)) for part in held.split(64)]).softmax(1)
            for view in range(maps.shape[1])
        ]
    answers = torch.stack(scores).mean(0).argmax(1)
    wrong, count = int((answers != labels[held]).sum()), len(held)
    low, high = wilson_interval(wrong, count)
    return dict(
        head=head, lr=lr, weight_decay=weight_decay, epochs=epochs, clip=clip, views=views,
        seed=seed, images=count, wrong=wrong, error=100 * wrong / count,
        interval=[100 * low, 100 * high], cpu_seconds=round(time.process_time() - started, 1),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', help='folder of a run, with maps/train in it')
    parser.add_argument(
        '--seeds', type=int, nargs='+', default=[0, 1, 2], help='of the split and the nets'
    )
    parser.add_argument(
        '--pooled', action='store_true', help='only heads on pooled maps, which takes minutes'
    )
    parser.add_argument('--out', help='JSON file for the results')
    args = parser.parse_args()
    maps, labels = read(args.folder)
    mmengine.logging.MMLogger.get_instance('heads_on_maps', log_level='ERROR')
    rows = []
    for settings in (one for one in SETTINGS if one['head'] == 'gap' or not args.pooled):
        for seed in args.seeds:
            rows.append(measure(maps, labels, seed=seed, **settings))
            print(json.dumps(rows[-1]), flush=True)
            if args.out:
                mmengine.dump(rows, args.out)


if __name__ == '__main__':
    main()
