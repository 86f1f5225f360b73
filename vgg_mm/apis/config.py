"""Reading a config and merging the user's settings into it."""

import os
import os.path as osp
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from copy import deepcopy
from pathlib import Path
from typing import Any, Optional, Union

import mmengine.registry
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dist import is_main_process
from mmengine.registry import Registry
from mmengine.utils import get_object_from_string
from mmpretrain.apis import ModelHub, list_models

from vgg_mm.checkpoints import write_atomically
from vgg_mm.checkpoints.preprocessing import Preprocessing
from vgg_mm.installation import argument, root_folder
from vgg_mm.progress import to_stderr
from vgg_mm.text import first_few, nearest

from .cfg_options import CfgOptions, merge_options, parse_cfg_options
from .downstream import check_files, check_package, datasets_of, give_data_root, is_downstream
from .errors import one_line, users_line
from .image_folders import VALIDATION_FOLDERS, is_inside, is_no_class
from .tables import say

#: Accepted as a config: a file, a name, or mmengine's ``Config``.
ConfigLike = Union[str, os.PathLike, Config]

DATALOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')

#: Kind of a file of settings -> where the package has such files, below its ``configs``.
FOLDERS = {
    'config': ('vgg', 'localisation', 'downstream'),
    'chain': ('chains',),
    'recipe': ('ensembles',),
    'protocol': ('_base_/tta',),
}

#: Names of processors' bfloat16 instructions: x86's two, ARM's.
BFLOAT16 = {'avx512_bf16', 'amx_bf16', 'bf16', 'arm_bf16'}

#: mmengine's part -> this package's, which resumes exactly and is otherwise the same.
RESUMABLE = {
    'DefaultSampler': 'vgg_mm.ResumableSampler',
    'EpochBasedTrainLoop': 'vgg_mm.ResumableTrainLoop',
    'CheckpointHook': 'vgg_mm.CheckpointHook',
}

SEEDED_DATASET = 'vgg_mm.SeededDataset'

COLOURS = 3


def configs_folder() -> str:
    """The package's configs: beside it in a checkout, below ``.mim`` when installed."""
    return osp.join(root_folder(), 'configs')


def shipped(kind: str = 'config') -> dict[str, str]:
    """Name -> path of the files of a kind (see :data:`FOLDERS`) that come with the package."""
    folders = (osp.join(configs_folder(), folder) for folder in FOLDERS[kind])
    paths = (path for folder in folders for path in Path(folder).rglob('*.py'))
    return {path.stem: str(path) for path in sorted(paths)}


def find_config(given: Union[str, os.PathLike], kind: str = 'config') -> str:
    """The file for a path or a name: that of a file that comes with the package, such as
    ``vgg16_jitter_imagenet``, or of a model in MMPretrain's lists.

    Raises:
        FileNotFoundError: in one line, with the nearest name, if there is none.
    """
    path = os.fspath(given)
    if osp.isfile(path):
        return path
    known = shipped(kind)
    if path in known:
        return known[path]
    if kind == 'config' and path in list_models():
        return ModelHub.get(path).config.filename
    near = nearest(osp.splitext(osp.basename(path))[0], known)
    hint = f'; did you mean {near!r}, which comes with vgg_mm?' if near else ''
    raise FileNotFoundError(f'{kind} not found: {path}{hint}')


def load_config(
    config: ConfigLike,
    work_dir: Optional[str] = None,
    cfg_options: CfgOptions = (),
    launcher: str = 'none',
) -> Config:
    """A config with the user's settings.

    Args:
        config: File, name (see :func:`find_config`), or a config, which is not changed.
        work_dir: By default the config's, else ``work_dirs`` and the name of its file.
        cfg_options: Settings that override the config.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi', as of mmengine's runner.

    Raises:
        ValueError: if an option names a key that no config can have.
        FileNotFoundError: if the config or a data folder is missing.
        ImportError: if the config is for a package that is missing.
    """
    own = isinstance(config, Config)
    cfg = name_types(deepcopy(config)) if own else read_config(find_config(config))
    check_package(cfg, config_name(cfg))
    undo_seeded_dataset(cfg)
    cfg.launcher = launcher
    options = parse_cfg_options(cfg_options)
    if 'DATA_ROOT' in options:
        replace_data_root(cfg, data_root_of(cfg), options['DATA_ROOT'])
    merge_options(cfg, options)
    find_validation_folders(cfg)
    set_input_channels(cfg)
    if work_dir is not None:
        cfg.work_dir = os.fspath(work_dir)
    elif cfg.get('work_dir') is None:
        name = osp.splitext(osp.basename(config_name(cfg)))[0]
        cfg.work_dir = osp.join('work_dirs', name)
    return cfg


def print_config(
    config: ConfigLike, out: Optional[Union[str, os.PathLike]] = None, cfg_options: CfgOptions = ()
) -> None:
    """Print a config with all of its bases as one file, to read, or to edit and train from.

    Args:
        config, cfg_options: As of :func:`load_config`.
        out: File to write in place of printing; a ``.py``, ``.yml`` or ``.json``.

    Raises:
        FileExistsError: if there is such a file already.
        FileNotFoundError, ImportError, ValueError: as of :func:`load_config`.
    """
    own = config if isinstance(config, Config) else read_config(find_config(config))
    with redirect_stdout(sys.stderr):  # notices are not part of the config
        cfg = load_config(own, cfg_options=cfg_options)
    # load_config sets these for a run.
    for key in {'launcher', 'work_dir'} - {*own, *parse_cfg_options(cfg_options)}:
        cfg.pop(key)
    text = _with_data_root(cfg)
    if out is None:
        say(text)
        return
    if osp.exists(out):
        raise FileExistsError(f'{os.fspath(out)} is there already: give another name or delete it')
    if osp.splitext(out)[1] not in ('.py', '.yml', '.yaml', '.json'):
        raise ValueError(f'{argument("out")} {os.fspath(out)}: a config ends in .py, .yml or .json')
    if os.fspath(out).endswith('.py'):
        write_atomically(out, text.encode())
    else:
        cfg.dump(os.fspath(out))
    say(f'written: {os.fspath(out)}')


def _with_data_root(cfg: Config) -> str:
    """A config's text, in which the paths below its ``DATA_ROOT``, the first line, follow it."""
    text, root = cfg.pretty_text, cfg.get('DATA_ROOT')
    if not root or not text.startswith('DATA_ROOT = '):
        return text

    def path(found: re.Match) -> str:
        key, below = found.groups()
        return f"{key}=f'{{DATA_ROOT}}{below}'" if below else f'{key}=DATA_ROOT'

    return re.sub(rf"\b(data_root|ann_file)='{re.escape(root)}(/[^'{{}}\\]*)?'", path, text)


def config_name(config: ConfigLike) -> str:
    """The path that names a config in messages and results."""
    return (config.filename or 'config') if isinstance(config, Config) else find_config(config)


def read_config(path: str) -> Config:
    """mmengine's ``Config.fromfile``, with a name for every type (:func:`name_types`).

    Raises:
        ValueError: in one line with file and line number, if the code of a config fails.
    """
    try:
        return name_types(Config.fromfile(path))
    except Exception as error:
        place = users_line(error)
        if place is None:
            raise
        raise ValueError(
            f'{place[0]}, line {place[1]}: {type(error).__name__}: {one_line(error)}'
        ) from error


def name_types(cfg: Config) -> Config:
    """Put registered names in the place of classes and their paths, which configs in pure Python
    have (``type=VGG`` after an import, written as ``'vgg_mm.models.VGG'``), in place.

    What no registry has, or another class under the same name, stays.
    """
    given = [one for one in _dicts_below(cfg) if _is_object(one.get('type'))]
    if not given:
        return cfg
    default = cfg.get('default_scope') or 'mmpretrain'
    names: dict[Any, str] = {}
    for root in filter(lambda one: isinstance(one, Registry), vars(mmengine.registry).values()):
        here = root.children.get(default, root)
        for registry in (root, *root.children.values()):
            scope = '' if registry.scope in (root.scope, default) else f'{registry.scope}.'
            for name, kind in registry.module_dict.items():
                if here.get(scope + name) is kind:
                    names.setdefault(kind, scope + name)
    for one in given:
        kind = one['type']
        kind = get_object_from_string(kind) if isinstance(kind, str) else kind
        if kind in names:
            one['type'] = names[kind]
    return cfg


def _is_object(kind: Any) -> bool:
    """Whether a ``type`` is a class or function, or the path of one: longer than a scope's name."""
    return callable(kind) or isinstance(kind, str) and kind.count('.') > 1


def data_root_of(cfg: Config) -> str:
    """The config's ``DATA_ROOT``; where it has none, as MMPretrain's, or no data set reads from it,
    the one root that all of its data sets share.

    Raises:
        ValueError: if there is no such root.
    """
    roots = _data_roots(cfg)
    if 'DATA_ROOT' in cfg and (cfg.DATA_ROOT in roots or not roots):
        return cfg.DATA_ROOT
    if len(roots) != 1:
        found = f'several: {first_few(sorted(roots), 3)}' if roots else 'none'
        raise ValueError(
            f'{config_name(cfg)} has no DATA_ROOT in use, which stands for the one data_root of '
            f'its data sets (here {found}): set train_dataloader.dataset.data_root and its like'
        )
    return roots.pop()


def _data_roots(cfg: Config) -> set[str]:
    return {one['data_root'] for one in _dicts_below(cfg) if one.get('data_root')}


def replace_data_root(node: Any, old: str, new: str) -> None:
    """Set ``data_root`` to ``new`` in every data set below ``node`` whose root is ``old``.

    Annotation files that evaluators name below ``old`` move along.
    """
    for one in _dicts_below(node):
        if 'data_root' in one and one['data_root'] == old:
            one['data_root'] = new
        ann_file = one.get('ann_file')
        if old and isinstance(ann_file, str) and ann_file.startswith(osp.join(old, '')):
            one['ann_file'] = osp.join(new, osp.relpath(ann_file, old))


def _dicts_below(node: Any) -> Iterator[Any]:
    """A config, or a part of one, and every dict in it."""
    if isinstance(node, (Config, dict)):
        yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from _dicts_below(child)


def set_dataloader_defaults(
    cfg: Config, pin_memory: bool = True, persistent_workers: Optional[bool] = None
) -> None:
    """Give every data loader its package's defaults, unless the config sets them.

    Args:
        cfg: Changed in place.
        pin_memory: False: never, regardless of the config; True: by default where there is a GPU.
        persistent_workers: False: never; True: by default; None: by torch's default.
    """
    defaults: dict[str, Any] = dict(pin_memory=torch.cuda.is_available())
    if persistent_workers:
        defaults['persistent_workers'] = True
    if not is_downstream(cfg):
        defaults['collate_fn'] = dict(type='default_collate')
    for name in DATALOADERS:
        if cfg.get(name) is None:
            continue
        loader = ConfigDict(**deepcopy(defaults))
        loader.update(cfg[name])
        if not pin_memory:
            loader.pin_memory = False
        if loader.get('num_workers', 0) == 0 or persistent_workers is False:
            # torch refuses persistent workers where there are none.
            loader.persistent_workers = False
        cfg[name] = loader


def find_validation_folders(cfg: Config) -> None:
    """Read ``validation`` or ``valid`` where class folders have no ``val``, with a notice."""
    found = {}
    for name in DATALOADERS:
        dataset = (cfg.get(name) or {}).get('dataset', {})
        if dataset.get('type') != 'CustomDataset' or dataset.get('data_prefix') != 'val':
            continue
        root = dataset.get('data_root') or ''
        folders = [one for one in VALIDATION_FOLDERS if osp.isdir(osp.join(root, one))]
        if folders and 'val' not in folders:
            dataset['data_prefix'] = found[root] = folders[0]
    if is_main_process():
        for root, other in found.items():
            say(f'{root} has no val: validation and test images are those of {other}')


def check_data_folders(cfg: Config, names: Iterable[str]) -> None:
    """Raise an error of one line if a data folder is missing or empty, before a model is built."""
    roots, given = _data_roots(cfg), cfg.get('DATA_ROOT')
    if roots and given and not any(is_inside(root, given) for root in roots):
        to_stderr(
            f'notice: DATA_ROOT is {given!r}, from which no data set reads: data_root is '
            f'{first_few(sorted(roots), 3)}'
        )
    for name in names:
        dataset = (cfg.get(name) or {}).get('dataset', {})
        if is_downstream(cfg):
            for one in datasets_of(dataset):
                check_files(one)
        root, prefix = dataset.get('data_root') or '', dataset.get('data_prefix') or ''
        if dataset.get('type') != 'CustomDataset' or not isinstance(prefix, str):
            continue
        folder = osp.join(root, prefix)
        if not osp.isdir(folder):
            raise FileNotFoundError(f'no data folder {folder!r}: {give_data_root()}')
        if not dataset.get('ann_file'):
            _check_class_folders(folder)


def _check_class_folders(folder: str) -> None:
    """MMPretrain's ``CustomDataset`` makes a class of each folder."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir())
    if not names:
        raise ValueError(f'no class folders in {folder!r}: expected {folder}/CLASS/*.jpg')
    if others := [name for name in names if is_no_class(name)]:
        raise ValueError(
            f'{osp.join(folder, others[0])!r} is a folder of some program and would become a '
            'class: remove it'
        )


def has_bfloat16() -> bool:
    """Whether the GPU, or else the processor, computes in bfloat16 itself: ``--amp`` saves time."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return not BFLOAT16.isdisjoint(_processor_flags())


def _processor_flags() -> set[str]:
    """What the processor can do, as the system and torch (from 2.11 on) name it."""
    find = getattr(torch.cpu, 'get_capabilities', dict)
    flags = {name for name, there in find().items() if there is True}
    if osp.isfile('/proc/cpuinfo'):
        with open('/proc/cpuinfo', encoding='utf-8') as file:
            lines = [line for line in file if line.startswith(('flags', 'Features'))]
        flags.update(word for line in lines for word in line.split())
    return flags


def warn_of_slow_bfloat16() -> None:
    """Warn if ``amp`` is slower."""
    if not torch.cuda.is_available() and not has_bfloat16():
        to_stderr(
            f'warning: this processor has no bfloat16 instructions: {argument("amp")} is slower '
            'than float32'
        )


def evaluate_in_mixed_precision(cfg: Config, loop: str) -> None:
    """Let the loop ``val_cfg`` or ``test_cfg`` run under autocast; mmengine calls it fp16."""
    cfg[loop].fp16 = True
    add_hook(cfg, type='vgg_mm.Bf16EvaluationHook')
    if is_downstream(cfg):
        add_hook(cfg, type='vgg_mm.Float32OperatorsHook')


def add_hook(cfg: Config, **hook: Any) -> None:
    """Append to ``custom_hooks``, replacing one of the same type."""
    others = [one for one in cfg.get('custom_hooks') or [] if one['type'] != hook['type']]
    cfg.custom_hooks = [*others, hook]


def make_resumable(cfg: Config) -> None:
    """Replace the parts of a training config that cannot resume within an epoch.

    Samplers and loops of other kinds stay: such runs resume as exactly as mmengine can.
    """
    loader, loop = cfg.train_dataloader, cfg.train_cfg
    if loader.sampler.type in RESUMABLE:
        loader.sampler.type = RESUMABLE[loader.sampler.type]
        loader.dataset = dict(type=SEEDED_DATASET, dataset=loader.dataset)
    if 'type' not in loop and loop.get('by_epoch', True):
        loop.pop('by_epoch', None)
        loop.type = 'EpochBasedTrainLoop'
    for part in (loop, (cfg.get('default_hooks') or {}).get('checkpoint') or {}):
        if part.get('type') in RESUMABLE:
            part.type = RESUMABLE[part.type]


def undo_seeded_dataset(cfg: Config) -> None:
    """Give a config that a run wrote to its work directory the user's own data set again."""
    loader = cfg.get('train_dataloader') or {}
    if loader.get('dataset', {}).get('type') == SEEDED_DATASET:
        loader.dataset = loader.dataset.dataset
        loader.sampler.type = 'DefaultSampler'


def innermost(cfg: Config) -> ConfigDict:
    """The net of a config without the wrapper of an earlier test."""
    model = cfg.model
    while 'module' in model:
        model = model.module
    return model


def set_input_channels(cfg: Config) -> None:
    """Let images be loaded and normalised with as many channels as the backbone takes.

    Where it is not 3, each ``vgg_mm.LoadImage`` below the config gets ``in_channels``, and mean and
    deviation of three colours become those of the channels
    (:meth:`~vgg_mm.checkpoints.Preprocessing.for_channels`). What is given stays.
    """
    model = innermost(cfg) if cfg.get('model') else {}
    channels = (model.get('backbone') or {}).get('in_channels', COLOURS)
    if channels == COLOURS:
        return
    for step in _dicts_below(cfg):
        if step.get('type') == 'vgg_mm.LoadImage':
            step.setdefault('in_channels', channels)
    settings = model.get('data_preprocessor') or {}
    if len(settings.get('mean') or ()) == COLOURS:
        mean, std = (tuple(settings[key]) for key in ('mean', 'std'))
        found = Preprocessing(settings.get('to_rgb', False), mean, std)
        settings.update(found.for_channels(channels).to_meta())
