"""``tools/finetune.py``: fine-tuning of trained weights on your own photos."""

import io
import os
import os.path as osp
import re
import shlex
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple, Optional, Union

import torch
from mmengine.config import Config

from vgg_mm.architectures import STRIDE
from vgg_mm.checkpoints import (
    Preprocessing,
    is_local,
    load_by_name,
    weights_digest,
    write_atomically,
)
from vgg_mm.checkpoints.formats import format_of
from vgg_mm.checkpoints.safe_load import read_checkpoint
from vgg_mm.checkpoints.weights import with_divided_images, with_input_channels
from vgg_mm.datasets.transforms.loading import CHANNELS
from vgg_mm.installation import argument, check_choice, command, command_line
from vgg_mm.text import first_few
from vgg_mm.zoo import PREFIX

from ..chain import train_chain
from ..check_dataset.layout import find_layout
from ..config import configs_folder, set_input_channels
from ..convert_weights import Converted, Net, identify_weights, recorded_backbone
from ..image_folders import is_inside
from ..inference.load import expected_preprocessing, resolve
from ..net_table import CROP
from ..tables import say
from .decide import (
    AUTO,
    FC,
    GAP,
    NEW_LAYER,
    ON,
    Decisions,
    Head,
    choose_head,
    choose_views,
    decide,
    describe_maps,
)
from .results import report_classes
from .split import BALANCED, Split, balanced_weights, describe_balance, split_photos

#: Maximum number of classes that the report names.
MAX_CLASSES = 12

#: The template for the decisions.
TEMPLATE = 'vgg/vgg16_finetune.py'

#: Settings that depend on the machine, in a config's text.
WORKERS = re.compile(r'\bnum_workers=\d+')

CHAIN = """# Written by {command}. To resume, or to test again:
# {chain}
stages = [
{stages}]
"""


def finetune(
    folder: Union[str, os.PathLike],
    weights: Union[str, os.PathLike],
    work_dir: Union[str, os.PathLike, None] = None,
    seed: int = 0,
    amp: bool = False,
    dry_run: bool = False,
    kernels: str = 'auto',
    head: Optional[str] = None,
    fc_channels: Optional[int] = None,
    class_weights: Optional[str] = None,
    in_channels: Optional[int] = None,
    cache_maps: str = AUTO,
    views: Optional[int] = None,
    unfreeze: Optional[int] = None,
    epochs: Optional[int] = None,
    batch_size: Optional[int] = None,
    lr: Optional[float] = None,
    frozen: Optional[int] = None,
) -> str:
    """Fine-tune on photos in class folders and test the result; a second call resumes.

    Args:
        folder: FOLDER/CLASS/* or FOLDER/{train,val}/CLASS/*.
        weights: A file, the folder of a run, a URL, ``torchvision://vgg16`` or a model's name in
            MMPretrain's lists, in any layout that can be read.
        work_dir: For lists, config and results.
        seed: Of the split, where the folder has none.
        amp: Mixed precision.
        dry_run: Decide, write the config, estimate the hours and stop.
        kernels: 'auto' or 'plain', as of ``tools/train.py``.
        head: 'fc' for a new fc6, fc7 and fc8, 'gap' for global average pooling and fc8; None: that
            of the weights with a new fc8, 'fc' where they are convolutions alone.
        fc_channels: Width of a new fc6 and fc7; None: 512.
        class_weights: 'balanced': classes are weighted equally in the loss; None: photos are.
        in_channels: 1 for grey images, 4 for images with opacity (then no block is frozen unless
            ``frozen`` is given); None: as the weights.
        cache_maps: 'on': the maps of the frozen blocks are computed once, for some crops of each
            photo, and the layers after them trained on these; 'off': every epoch has its own crops;
            'auto': on where there is no GPU.
        views: Number of crops; None: 3.
        unfreeze: With cached maps, number of last blocks that a second stage trains with the head;
            None: 0.
        epochs, batch_size, lr, frozen: Replace those decided; ``frozen`` counts blocks.

    Returns:
        The table of errors, or of the plan. The results of each class and a confusion matrix are
        written next to the test's.

    Raises:
        FileNotFoundError, ValueError: in one line, if photos, weights or arguments are unsuitable.
    """
    check_choice('head', head, (FC, GAP), optional=True)
    check_choice('class_weights', class_weights, (BALANCED,), optional=True)
    folder = os.fspath(folder)
    split = split_photos(find_layout(folder), seed)
    weights, _ = resolve(os.fspath(weights), None)
    content = load_by_name(weights)
    found = identify_weights(content, weights)
    _check_settings(recorded_backbone(content), weights)
    net = _for_channels(found.net, in_channels)
    adds_channels = net.in_channels > found.net.in_channels
    chosen_head = choose_head(net, head, fc_channels)
    images = expected_preprocessing(content).for_channels(net.in_channels)
    divisor = chosen_head.divisor(images, net)
    start = Start(weights, net, images.divided(divisor), chosen_head, found.unused(), divisor)
    learns_channels = adds_channels and frozen is None
    if learns_channels:
        frozen = 0  # conv1_1's weights for them have to be learnt
        given = dict(cache_maps=ON if cache_maps == ON else None, views=views, unfreeze=unfreeze)
        for option, value in given.items():
            if value:
                raise ValueError(
                    f'{argument(option, value)} is for frozen blocks, and with '
                    f'{argument("in_channels", net.in_channels)} conv1_1 has to learn: leave one '
                    'of them out'
                )
    config = chosen_head.config
    crop = STRIDE * config['kernel_size'] if config['fc_channels'] else CROP
    views, why = choose_views(split, net, crop, cache_maps, views, frozen, unfreeze)
    new_fc6 = 'fc6' in chosen_head.new
    first = decide(split, crop, epochs, batch_size, lr, frozen, views, new_fc6)
    stages = [first, first.second_stage(unfreeze)] if unfreeze else [first]
    # Only characters that mmengine accepts in a config's name.
    name = re.sub(r'[^A-Za-z0-9_-]+', '_', osp.basename(osp.abspath(folder))).strip('_') or 'photos'
    if name == 'chain':  # the file of the chain
        name = 'photos_chain'
    work_dir = os.fspath(work_dir or osp.join('work_dirs', f'finetune_{name}'))
    if is_inside(work_dir, folder):
        raise ValueError(
            f'{work_dir} lies in the folder of the photos, where it would become a class: give '
            f'{argument("work_dir", "FOLDER")} elsewhere'
        )
    balanced = class_weights == BALANCED
    say('\n'.join(filter(None, _report(folder, split, start, stages, balanced))))
    if adds_channels and first.frozen_stages:
        say('Notice     conv1_1 is frozen: the opacity has no effect')
    if why and cache_maps == AUTO and not torch.cuda.is_available():
        if learns_channels:
            why = f'with {argument("in_channels", net.in_channels)} conv1_1 has to learn'
        say(f'Maps       are not cached: {why}')
    os.makedirs(work_dir, exist_ok=True)
    changed = _to_start_from(found, start, expected_preprocessing(content).to_rgb)
    if changed is not found:
        start = start._replace(weights=osp.join(work_dir, 'start.pth'))
        _write_start(start.weights, changed)
    chain, configs = _write(folder, work_dir, name, split, start, stages, balanced)
    if views:
        say(describe_maps(split, net, crop, configs, amp, kernels))
    say('')
    table = train_chain(chain, work_dir, amp=amp, dry_run=dry_run, kernels=kernels)
    if not dry_run:
        say(f'\n{report_classes(osp.join(work_dir, name))}')
    return table


def _check_settings(backbone: dict, weights: str) -> None:
    """Refuse weights of a net with settings that the config would not have.

    ``backbone`` are those recorded in the checkpoint.
    """
    usual: dict[str, Callable[[Any], bool]] = dict(
        act_cfg=lambda given: (given or {}).get('type') == 'ReLU',
        norm_cfg=lambda given: not given or given.get('eps', 1e-5) == 1e-5,
        pool_size=lambda given: given == 2,
        ceil_mode=lambda given: not given,
        with_last_pool=lambda given: given,
        strides=lambda given: set(given or [2]) == {2},
        dilations=lambda given: set(given or [1]) == {1},
    )
    for name, is_usual in usual.items():
        if name in backbone and not is_usual(backbone[name]):
            raise ValueError(
                f'{weights} is of a net with {name}={backbone[name]!r}, which a new config would '
                f'not have: fine-tune it with {command("train")} and its own config, in which '
                'load_from names the weights'
            )


def _write_start(path: str, start: Converted) -> None:
    """Write the weights that the training starts from, or check that the file has the same.

    Raises:
        ValueError: in one line, if it has others: a training in this folder has started from them.
    """
    if not osp.exists(path):
        file = io.BytesIO()
        torch.save(start.checkpoint(), file)
        write_atomically(path, file.getvalue())
    elif weights_digest(read_checkpoint(path)['state_dict']) != weights_digest(start.weights):
        raise _occupied(path, 'contains other weights to start from')


class Start(NamedTuple):
    """What a fine-tuning starts from.

    ``weights`` names the checkpoint, of ``net``, for images of ``preprocessing``; ``head`` is the
    one that is trained; ``unused`` names what of the checkpoint no layer of the net has; images
    (and biases with them) are divided by ``divisor`` in addition to the pre-processing.
    """

    weights: str
    net: Net
    preprocessing: Preprocessing
    head: Head
    unused: str
    divisor: float

    @property
    def decay(self) -> Optional[float]:
        """The head's new layers' weight decay; None: that of all layers."""
        return self.head.decay(self.preprocessing)


def _for_channels(net: Net, channels: Optional[int]) -> Net:
    """The net for images of another number of channels, if one is given.

    Raises:
        ValueError: in one line, if conv1_1 cannot be adapted to it.
    """
    if channels is None or channels == net.in_channels:
        return net
    if net.in_channels != 3 or channels not in CHANNELS:
        raise ValueError(
            f'{argument("in_channels", channels)}: only a conv1_1 for 3 channels can be adapted '
            f'(to 1 or 4), this one is for {net.in_channels}'
        )
    return net._replace(in_channels=channels)


def _to_start_from(found: Converted, start: Start, are_rgb: bool) -> Converted:
    """The weights that the training starts from; ``found`` itself if they are unchanged.

    Where channels are added their order has to be known, and where images are divided all biases
    change, which is here; a head that is replaced is left out.
    """
    weights, classes = found.weights, found.classes
    if start.divisor != 1:
        weights = with_divided_images(weights, start.divisor)
    if start.net.in_channels > found.net.in_channels:
        name = 'backbone.conv1_1.weight'
        first = weights[name].flip(1) if are_rgb else weights[name]
        weights = {**weights, name: with_input_channels(first, start.net.in_channels)}
    if not start.head.keeps and any(name.startswith('head.') for name in weights):
        weights = {name: w for name, w in weights.items() if not name.startswith('head.')}
        classes = None
    if weights is found.weights:
        return found
    return found._replace(
        weights=weights, net=start.net, preprocessing=start.preprocessing, classes=classes
    )


def _report(
    folder: str, split: Split, start: Start, stages: list[Decisions], balanced: bool
) -> list[str]:
    """The decisions and their reasons, as lines."""
    first = stages[0]
    train, val = (Counter(label for _, label in part) for part in (split.train, split.val))
    classes = [f'{name} {train[i]} + {val[i]}' for i, name in enumerate(split.classes)]
    opacity = '; blue, green, red and opacity' if start.net.in_channels == 4 else ''
    lines = [
        f'Photos     {folder}: {len(split.train):,} to train on, {len(split.val):,} to validate '
        f'on, {split.how}',
        f'Classes    {len(classes)} (training + validation): {first_few(classes, MAX_CLASSES)}',
        f'Weights    {start.weights}: net {start.net}; {start.head}',
        f'Left out   {start.unused}' if start.unused else '',
        f'Images     {start.preprocessing}{opacity}',
        'Divided    images and all biases, by '
        f'{start.divisor:g}: scales the maps down to a range in which new layers learn well'
        if start.divisor != 1
        else '',
        f'Crops      {first.crop} pixels, S in [{first.jitter[0]};{first.jitter[1]}], random '
        'flips and colours',
    ]
    new = ', '.join(start.head.new)
    decay = f'; weight decay of {new} {start.decay:g}' if start.decay else ''
    for number, chosen in enumerate(stages):
        blocks = f'first {chosen.frozen_stages} of 5' if chosen.frozen_stages else 'none'
        drops = ' and '.join(map(str, chosen.milestones)) or 'none'
        faster = '' if number else f', {new} {NEW_LAYER * chosen.lr:g}'
        lines += [
            f'Stage {number + 1}' if len(stages) > 1 else '',
            f'Frozen     blocks: {blocks}',
            f'Rate       {chosen.lr:g}{faster}; divided by 10 after epochs: {drops}; '
            f'batch {chosen.batch_size}{decay}',
            f'Epochs     {chosen.epochs}',
        ]
    return [*lines, describe_balance(split, balanced)]


def _write(
    folder: str,
    work_dir: str,
    name: str,
    split: Split,
    start: Start,
    stages: list[Decisions],
    balanced: bool,
) -> tuple[str, list[Config]]:
    """Write lists, a config for each stage and their chain; returns its path, and the configs.

    The last stage is called NAME; the one before it, which trains the head, NAME_head.
    """
    lists = {part: osp.abspath(osp.join(work_dir, f'{part}.txt')) for part in ('train', 'val')}
    for part, path in lists.items():
        # As MMPretrain's CustomDataset reads them.
        text = ''.join(f'{photo} {label}\n' for photo, label in getattr(split, part))
        _write_once(path, text, 'lists other photos than the folder contains')
    configs, lines = [], []
    for number, chosen in enumerate(stages, start=1):
        last = number == len(stages)
        stage = name if last else f'{name}_head'
        cfg = _config(osp.abspath(folder), split, lists, start, chosen, number == 1, balanced)
        config = osp.join(work_dir, f'{stage}.py')
        _write_once(config, cfg.pretty_text, 'contains other settings')
        configs.append(cfg)
        after = f", start_from='{name}_head'" if number > 1 else ''
        test = ", test='dense'" if last else ''
        lines.append(f"    dict(config='{stage}.py'{after}{test}),\n")
        say(f'Config     {config}')
    chain = osp.join(work_dir, 'chain.py')
    text = CHAIN.format(
        command=command('finetune'),
        chain=command_line('chain', shlex.join([chain, '--work-dir', work_dir])),
        stages=''.join(lines),
    )
    write_atomically(chain, text.encode())
    return chain, configs


def _write_once(path: str, text: str, what: str) -> None:
    """Write a file, or check that it exists with the same content: a run may be using it.

    Numbers of data loaders' processes may differ, as on a machine with other processors.

    Raises:
        ValueError: in one line, if it exists and differs.
    """
    if not osp.exists(path):
        write_atomically(path, text.encode())
        return
    with open(path, encoding='utf-8') as there:
        if WORKERS.sub('', there.read()) != WORKERS.sub('', text):
            raise _occupied(path, what)


def _occupied(path: str, what: str) -> ValueError:
    """The error for a file of another run in the folder."""
    folder = osp.dirname(path)
    trained = next(os.walk(folder))[1]
    return ValueError(
        f'{path} {what}: use another {argument("work_dir")}, or delete {folder}'
        + ('' if trained else ', in which nothing has been trained')
    )


def _config(
    folder: str,
    split: Split,
    lists: dict[str, str],
    start: Start,
    chosen: Decisions,
    is_first: bool,
    balanced: bool,
) -> Config:
    """A self-contained config for ``tools/train.py`` and ``tools/test.py``."""
    cfg = Config.fromfile(osp.join(configs_folder(), TEMPLATE))
    loss = dict(loss=dict(class_weight=balanced_weights(split))) if balanced else {}
    model = dict(
        data_preprocessor=start.preprocessing.to_meta(),
        backbone=start.net.backbone_config(),
        head={**start.head.config, **loss},
    )
    # The chain sets that of a second stage.
    weights = _for_any_program(start.weights) if is_first else None
    cfg.merge_from_dict(dict(model=model, load_from=weights, DATA_ROOT=folder))
    cfg.model.head.num_classes = len(split.classes)
    cfg.model.backbone.frozen_stages = chosen.frozen_stages
    for name, part in (('train', 'train'), ('val', 'val'), ('test', 'val')):
        loader = cfg[f'{name}_dataloader']
        loader.batch_size, loader.num_workers = chosen.batch_size, chosen.num_workers
        loader.persistent_workers = True
        loader.dataset.update(
            data_root=folder,
            data_prefix='',
            ann_file=lists[part],
            metainfo=dict(classes=list(split.classes)),
        )
        # A broken photo counts as an error and does not end the run.
        loader.dataset.pipeline[0].on_error = 'skip' if part == 'train' else 'mark'
    pipelines = [cfg[f'{name}_dataloader'].dataset.pipeline for name in ('train', 'val', 'test')]
    for step in (step for pipeline in [*pipelines, cfg.tta_pipeline] for step in pipeline):
        if step['type'] == 'vgg_mm.ScaleJitter':
            step.update(scale=chosen.jitter, crop_size=chosen.crop)
        elif step['type'] == 'vgg_mm.CentralCrop':
            step.update(scale=chosen.test_scale, crop_size=chosen.crop)
        elif step['type'] == 'vgg_mm.TestScales':
            step['trained_at'] = chosen.jitter
    cfg.custom_hooks = [dict(type='vgg_mm.SkippedImagesHook')]
    cfg.val_evaluator.topk = cfg.test_evaluator.topk = (1, 5) if len(split.classes) > 5 else (1,)
    cfg.tta_model.crop_size = chosen.crop
    cfg.optim_wrapper.optimizer.lr = chosen.lr
    # New layers have a higher rate in the first stage.
    settings = dict(lr_mult=NEW_LAYER) if is_first else {}
    if start.decay is not None:
        settings['decay_mult'] = start.decay / cfg.optim_wrapper.optimizer.weight_decay
    # Keys with dots: merged they would be a tree.
    keys = {f'head.{layer}': settings for layer in start.head.new} if settings else {}
    cfg.optim_wrapper.paramwise_cfg = dict(custom_keys=keys)
    cfg.param_scheduler.milestones = chosen.milestones
    cfg.train_cfg.max_epochs = chosen.epochs
    if chosen.views:
        loop = dict(type='vgg_mm.CachedMapsTrainLoop', views=chosen.views)
        cfg.train_cfg = dict(loop, max_epochs=chosen.epochs, val_interval=1)
        cfg.val_cfg = dict(type='vgg_mm.CachedMapsValLoop')
    cfg.auto_scale_lr.base_batch_size = chosen.batch_size
    for name in ('train_pipeline', 'test_pipeline'):
        cfg.pop(name)  # they are in the data sets
    set_input_channels(cfg)
    return cfg


def _for_any_program(weights: str) -> str:
    """As ``load_from`` of a config that other programs of mmengine run, too.

    Their loader reads PyTorch's files only; with the prefix this package's loader is used.
    """
    if is_local(weights):
        return f'{PREFIX if format_of(weights) else ""}{osp.abspath(weights)}'
    return f'{PREFIX if weights.startswith(("http://", "https://")) else ""}{weights}'
