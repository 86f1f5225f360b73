"""``tools/finetune.py``: trained weights fitted to one's own photos in one line."""

import os
import os.path as osp
import re
from typing import Optional

from vgg_mm.architectures import STRIDE
from vgg_mm.checkpoints import (
    Preprocessing,
    is_local,
    load_by_name,
    write_atomically,
)

from ..chain import train_chain
from ..check_dataset.layout import find_layout
from ..convert_weights import Net, understand
from ..inference.load import expected_preprocessing
from .config import finetune_config
from .decide import NEW_LAYER, Decisions, decide, describe_classes
from .split import Split, list_lines, split_photos

CHAIN = """# Written by tools/finetune.py. To go on, or to test again:
# python tools/train_chain.py {path} --work-dir {work_dir}
stages = [dict(config='{name}.py', test='dense')]
"""


def finetune(
    folder: str,
    weights: str,
    root: str,
    work_dir: Optional[str] = None,
    seed: int = 0,
    amp: bool = False,
    dry_run: bool = False,
    kernels: str = 'auto',
    **settings,
) -> str:
    """Fine-tune on photos in class folders and test the result; a second call goes on.

    Args:
        folder: FOLDER/CLASS/* or FOLDER/{train,val}/CLASS/*.
        weights: A file, a URL or ``torchvision://vgg16``, in any layout that can be read.
        root: Folder that holds ``tools``.
        work_dir: For lists, config and results.
        seed: Of the split, where the folder has none.
        amp: Mixed precision.
        dry_run: Decide, write the config, estimate the hours and stop.
        kernels: 'auto' or 'plain', as of ``tools/train.py``.
        **settings: ``epochs``, ``batch_size``, ``lr``, ``frozen`` in place of those decided.

    Returns:
        The table of errors, or of the plan.

    Raises:
        FileNotFoundError, ValueError: in one line, if photos or weights will not do.
    """
    split = split_photos(find_layout(folder), seed)
    net, preprocessing = _read_weights(weights)
    settings['frozen_stages'] = settings.pop('frozen', None)
    chosen = decide(split, STRIDE * net.kernel_size, **settings)
    name = _name(folder)
    work_dir = work_dir or osp.join('work_dirs', f'finetune_{name}')
    print('\n'.join(_report(folder, weights, split, net, preprocessing, chosen)))
    chain = _write(folder, weights, work_dir, name, split, net, preprocessing, chosen)
    return train_chain(chain, root, work_dir, amp=amp, dry_run=dry_run, kernels=kernels)


def _read_weights(weights: str) -> tuple[Net, Preprocessing]:
    content = load_by_name(weights)
    net = understand(content, weights).net
    if net.num_classes is None:
        raise ValueError(
            f'{weights} is a net without fully-connected layers: a whole one is needed'
        )
    return net, expected_preprocessing(content)


def _report(
    folder: str,
    weights: str,
    split: Split,
    net: Net,
    preprocessing: Preprocessing,
    chosen: Decisions,
) -> list[str]:
    """What was decided, and why, in lines."""
    blocks = f'first {chosen.frozen_stages} of 5' if chosen.frozen_stages else 'none'
    drops = ' and '.join(map(str, chosen.milestones)) or 'none'
    return [
        f'Photos     {folder}: {len(split.train):,} to train on, {len(split.val):,} to validate '
        f'on, {split.how}',
        f'Classes    {len(split.classes)} (training + validation): '
        + ', '.join(describe_classes(split)),
        f'Weights    {weights}: net {net}; fc8 is new',
        f'Images     {preprocessing}',
        f'Crops      {chosen.crop} pixels, S in [{chosen.jitter[0]};{chosen.jitter[1]}], random '
        'flips and colours',
        f'Frozen     blocks: {blocks}',
        f'Rate       {chosen.lr:g}, fc8 {NEW_LAYER * chosen.lr:g}; divided by 10 after epochs: '
        f'{drops}; batch {chosen.batch_size}',
        f'Epochs     {chosen.epochs}',
    ]


def _name(folder: str) -> str:
    """The folder's name as far as mmengine takes it for a config's."""
    name = re.sub(r'[^A-Za-z0-9_-]+', '_', osp.basename(osp.abspath(folder))).strip('_')
    return name or 'photos'


def _write(
    folder: str,
    weights: str,
    work_dir: str,
    name: str,
    split: Split,
    net: Net,
    preprocessing: Preprocessing,
    chosen: Decisions,
) -> str:
    """Write lists, config and chain; returns the chain's path."""
    os.makedirs(work_dir, exist_ok=True)
    lists = {part: osp.abspath(osp.join(work_dir, f'{part}.txt')) for part in ('train', 'val')}
    for part, path in lists.items():
        _write_once(
            path, list_lines(getattr(split, part)), 'lists other photos than the folder has'
        )
    model = dict(
        data_preprocessor=preprocessing.to_meta(),
        backbone=net.backbone_config(),
        head=net.head_config(),
    )
    source = osp.abspath(weights) if is_local(weights) else weights
    cfg = finetune_config(osp.abspath(folder), source, model, split, lists, chosen)
    config, chain = (osp.join(work_dir, f'{file}.py') for file in (name, 'chain'))
    _write_once(config, cfg.pretty_text, 'holds other settings than those asked for')
    write_atomically(chain, CHAIN.format(path=chain, work_dir=work_dir, name=name).encode())
    print(f'Config     {config}\n')
    return chain


def _write_once(path: str, text: str, what: str) -> None:
    """Write a file, or find it there as it would be written: a run with it may be under way.

    Raises:
        ValueError: in one line, if it is there and differs.
    """
    if not osp.exists(path):
        write_atomically(path, text.encode())
        return
    with open(path, encoding='utf-8') as there:
        if there.read() != text:
            raise ValueError(
                f'{path} {what}: use another --work-dir, or delete {osp.dirname(path)}'
            )
