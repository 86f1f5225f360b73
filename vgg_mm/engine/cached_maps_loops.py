"""Training on maps of the frozen blocks that are computed once."""

import json
import os.path as osp
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Optional, Union

import torch
from mmengine.dataset import pseudo_collate
from mmengine.dist import barrier, get_rank, get_world_size
from mmengine.model import BaseDataPreprocessor
from mmengine.runner import Runner, ValLoop, autocast
from torch.utils.data import DataLoader

from vgg_mm.checkpoints import check_room, preprocessing_of, weights_digest
from vgg_mm.datasets.cached_maps import CachedMaps, Chunk, MapFiles, image_digests
from vgg_mm.datasets.class_names import MapLabels
from vgg_mm.datasets.samplers import SeededDataset
from vgg_mm.models.backbones.vgg import VGG
from vgg_mm.models.batch_work import block_shares, pixels_in, telling
from vgg_mm.models.tta.paper_tta import CPU_PIXELS
from vgg_mm.progress import Progress, duration
from vgg_mm.registry import LOOPS
from vgg_mm.text import is_positive

from .hooks.exact_resume_hook import ResumableTrainLoop
from .unwrap import unwrap

#: Folder of the maps in the work directory.
FOLDER = 'maps'

#: Maximum size of the maps of a data set on the disk, in GB (1e9 bytes).
MAX_GB = 20.0


@LOOPS.register_module()
class CachedMapsTrainLoop(ResumableTrainLoop):
    """Train the layers after the frozen blocks on maps of these that are computed once.

    The blocks that ``backbone.frozen_stages`` freezes always give the same map of the same crop.
    So they run once, over ``views`` random crops of each image, drawn by the data set's own
    pipeline; the maps stay on the disk in half precision, and all epochs train the other layers on
    them, each on another view of an image as long as there are any. With all blocks frozen that
    trains the head alone, in minutes on a processor; with four, conv5 as well.

    Model, optimizer, hooks and checkpoints are those of any training: a checkpoint is the whole
    net, and :class:`CachedMapsValLoop` or mmengine's ``ValLoop`` validates it.

    If computing is interrupted, it resumes; maps of other weights, settings or photos are removed.
    ``train_cfg=dict(type='vgg_mm.CachedMapsTrainLoop', max_epochs=20)`` replaces ``by_epoch=True``.

    Args:
        runner, dataloader, max_epochs, kwargs: As of mmengine's ``EpochBasedTrainLoop``.
        views: Crops of each image, 1 or more.
        folder: For the maps; None: ``maps`` in the work directory.
        max_gb: Maximum size of the maps on the disk, in GB.
        seed: Of the crops. Not the run's, which may differ after an interruption.

    Raises:
        ValueError: in one line, if an argument is invalid, no block is frozen, or the maps would
            need more than ``max_gb``.
    """

    dataloader: Any

    def __init__(
        self,
        runner: Runner,
        dataloader: Union[DataLoader, dict],
        max_epochs: int,
        views: int = 2,
        folder: Optional[str] = None,
        max_gb: float = MAX_GB,
        seed: int = 0,
        **kwargs: Any,
    ):
        if not is_positive(views):
            raise ValueError(f'CachedMapsTrainLoop: views must be at least 1, got {views!r}')
        settings = _settings_of(dataloader)
        super().__init__(runner, dataloader, max_epochs, **kwargs)
        self._cache = _Cache(runner, 'train', folder, max_gb, views, seed, settings)
        self._maps: Optional[CachedMaps] = None

    def run_epoch(self) -> None:
        if self._maps is None:
            # Not earlier: weights and hooks have to be ready.
            context = self.runner.optim_wrapper.optim_context
            self._maps = self._cache.maps(self.dataloader, lambda: context(self.runner.model))
            self.dataloader = _loader_of(self._maps, self.dataloader)
        self._maps.epoch = self._epoch
        super().run_epoch()

    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        with maps_as_inputs(unwrap(self.runner.model)):
            super().run_iter(idx, data_batch)


@LOOPS.register_module()
class CachedMapsValLoop(ValLoop):
    """Validate what :class:`CachedMapsTrainLoop` trains, on maps that are computed once as well.

    The metrics are those of the whole net, to half precision of the maps. Use:
    ``val_cfg=dict(type='vgg_mm.CachedMapsValLoop')``.

    Args:
        runner, dataloader, evaluator, kwargs: As of mmengine's ``ValLoop``.
        folder, max_gb: As of CachedMapsTrainLoop.

    Raises:
        ValueError: in one line, as there.
    """

    dataloader: Any

    def __init__(
        self,
        runner: Runner,
        dataloader: Union[DataLoader, dict],
        *args: Any,
        folder: Optional[str] = None,
        max_gb: float = MAX_GB,
        **kwargs: Any,
    ):
        settings = _settings_of(dataloader)
        super().__init__(runner, dataloader, *args, **kwargs)
        self._cache = _Cache(runner, 'val', folder, max_gb, 1, 0, settings)
        self._has_maps = False

    def run(self) -> dict:
        if not self._has_maps:
            self.runner.model.eval()
            maps = self._cache.maps(self.dataloader, lambda: autocast(enabled=self.fp16))
            self.dataloader = _loader_of(maps, self.dataloader)
            self._has_maps = True
        return super().run()

    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        with maps_as_inputs(unwrap(self.runner.model)):
            super().run_iter(idx, data_batch)


@contextmanager
def maps_as_inputs(model: Any) -> Iterator[None]:
    """Let a classifier accept maps of its frozen blocks instead of images.

    Args:
        model: An ``ImageClassifier`` with a :class:`VGG` as its backbone.
    """
    backbone, preprocessor = model.backbone, model.data_preprocessor
    for_maps = _MapPreprocessor().to(next(model.parameters()).device)
    backbone.first_block, model.data_preprocessor = backbone.frozen_stages, for_maps
    try:
        yield
    finally:
        backbone.first_block, model.data_preprocessor = 0, preprocessor


@torch.no_grad()
def frozen_maps(model: Any, data: dict) -> torch.Tensor:
    """The maps after a classifier's frozen blocks, float32 (n, C, h, w), of a batch with ``inputs``
    as its ``data_preprocessor`` takes them.
    """
    images = model.data_preprocessor(data)['inputs']
    size = len(images)
    if images.device.type == 'cpu':
        size = max(1, CPU_PIXELS // (images.shape[-2] * images.shape[-1]))
    parts = images.contiguous(memory_format=torch.channels_last).split(size)
    return torch.cat([model.backbone.frozen_map(part).float() for part in parts])


class _MapPreprocessor(BaseDataPreprocessor):
    """Brings maps to the device, in float32."""

    def forward(self, data: dict, training: bool = False) -> dict:
        data = self.cast_data(data)
        inputs = data['inputs']
        if not isinstance(inputs, torch.Tensor):
            inputs = torch.stack(list(inputs))
        return dict(inputs=inputs.float(), data_samples=data.get('data_samples'))


@dataclass
class _Cache:
    """The maps of a loop's images, there already or computed now."""

    runner: Runner
    part: str  # 'train' or 'val'
    #: As of :class:`CachedMapsTrainLoop`.
    given_folder: Optional[str]
    max_gb: float
    views: int
    seed: int
    settings: str  # of the data set

    @property
    def folder(self) -> str:
        return osp.join(self.given_folder or osp.join(self.runner.work_dir, FOLDER), self.part)

    @property
    def model(self) -> Any:
        return unwrap(self.runner.model)

    def _check(self) -> None:
        """Refuse models whose maps cannot be cached."""
        backbone = getattr(self.model, 'backbone', None)
        if not isinstance(backbone, VGG):
            raise ValueError(
                'cached maps are of the frozen blocks of a vgg_mm.VGG, the backbone is '
                f'{type(backbone).__name__}'
            )
        frozen = backbone.frozen_stages
        if frozen < 1:
            raise ValueError(
                'cached maps are of frozen blocks, and none is frozen: --cfg-options '
                'model.backbone.frozen_stages=5 trains the head alone, 4 conv5 as well'
            )
        if not backbone.gives_all_from(frozen - 1):
            raise ValueError(
                f'cached maps: out_indices={backbone.out_indices} names maps before the end of '
                f'the {frozen} frozen blocks'
            )
        augments = getattr(self.model.data_preprocessor, 'batch_augments', None)
        if self.part == 'train' and augments is not None:
            raise ValueError(
                'cached maps are of single images: train_cfg.augments of the model mixes them'
            )

    def maps(
        self, dataloader: DataLoader, context: Callable[[], AbstractContextManager]
    ) -> CachedMaps:
        """All maps of a loader's images; missing ones are computed in ``context``, as autocast."""
        self._check()
        dataset = dataloader.dataset
        images = dataset.dataset if isinstance(dataset, SeededDataset) else dataset
        if isinstance(getattr(images, '_dataset', None), SeededDataset):  # mmengine's slice
            raise ValueError(
                'cached maps are of all images: num_batch_per_epoch of the data loader uses some'
            )
        # ClassCheckHook inserts them: they are in no config.
        steps = getattr(getattr(images, 'pipeline', None), 'transforms', ())
        labels = [step.numbers for step in steps if isinstance(step, MapLabels)]
        recipe = self._recipe(context, labels)
        files = MapFiles(self.folder, list(image_digests(images)), self.views, recipe)
        missing = files.missing()
        if get_rank() == 0 and (others := files.remove_others()):
            self._say(f'{others} files of other weights, settings or photos removed')
        barrier()
        mine = missing[get_rank() :: get_world_size()]
        self._compute(files, mine, SeededDataset(images), dataloader, context)
        barrier()
        return CachedMaps(files, images)

    def _recipe(
        self, context: Callable[[], AbstractContextManager], labels: list[list[int]]
    ) -> str:
        """All that the maps and labels of an image depend on, except the image."""
        backbone = self.model.backbone
        frozen = backbone.frozen_stages
        layers = {name for block in backbone._blocks[:frozen] for name in block}
        weights = {
            name: value
            for name, value in backbone.state_dict().items()
            if name.split('.')[0] in layers
        }
        with context():
            low = torch.is_autocast_enabled(next(self.model.parameters()).device.type)
        parts = dict(
            layers=repr([getattr(backbone, name) for name in sorted(layers)]),
            order=backbone._blocks[:frozen],
            weights=weights_digest(weights),
            preprocessing=str(preprocessing_of(self.model.data_preprocessor)),
            data=self.settings,
            labels=labels,
            seed=self.seed,
            low_precision=low,
        )
        return json.dumps(parts, sort_keys=True)

    def _compute(
        self,
        files: MapFiles,
        chunks: Sequence[Chunk],
        images: SeededDataset,
        dataloader: DataLoader,
        context: Callable[[], AbstractContextManager],
    ) -> None:
        """Compute and keep maps, a chunk at a time."""
        total = len(images) * self.views
        to_do = sum(chunk.last - chunk.first for chunk in chunks)
        blocks = self.model.backbone.frozen_stages
        self._say(
            f'{to_do:,} of {total:,} to compute, after block {blocks} of {self.views} '
            f'view{"s" * (self.views > 1)} an image, in {self.folder}'
        )
        places = [[(self.seed, c.view, i) for i in range(c.first, c.last)] for c in chunks]
        loader = DataLoader(
            images,
            batch_sampler=places,
            num_workers=dataloader.num_workers,
            collate_fn=pseudo_collate,
        )
        started = time.monotonic()
        progress = Progress(to_do, self._say, 'computed')
        done = 0
        for chunk, batch in zip(chunks, loader):
            inputs = batch['inputs']
            pixels = pixels_in(inputs) * sum(block_shares(self.model.backbone)[:blocks])
            with context(), telling(self.model, pixels, progress.within(len(inputs))):
                maps = frozen_maps(self.model, dict(inputs=inputs))
            if done == 0:
                self._check_room(maps[0].numel() * 2, total, to_do)
            try:
                files.write(chunk, maps, batch['data_samples'])
            except OverflowError as error:
                raise ValueError(f'maps of these weights cannot be cached: {error}') from error
            done += len(maps)
            progress.set(done)
        if to_do:
            self._say(f'{to_do:,} computed in {duration(time.monotonic() - started)}')

    def _check_room(self, bytes_a_map: int, total: int, to_do: int) -> None:
        if total * bytes_a_map > self.max_gb * 1e9:
            raise ValueError(
                f'cached maps: {total:,} of {bytes_a_map:,} bytes are '
                f'{total * bytes_a_map / 1e9:.1f} GB, more than max_gb={self.max_gb:g}: fewer '
                'views, more frozen blocks (their maps are smaller), or '
                f'--cfg-options {self.part}_cfg.max_gb=GB'
            )
        parent = osp.abspath(self.folder)
        while not osp.isdir(parent):
            parent = osp.dirname(parent)
        check_room(parent, to_do * bytes_a_map, 'the maps')

    def _say(self, text: str) -> None:
        if get_rank() == 0:
            self.runner.logger.info(f'cached maps ({self.part}): {text}')


def _loader_of(maps: CachedMaps, loader: DataLoader) -> DataLoader:
    """A loader of maps in the order, and in the batches, of one of images."""
    return DataLoader(
        maps,
        batch_size=loader.batch_size,
        sampler=loader.sampler,
        drop_last=loader.drop_last,
        collate_fn=loader.collate_fn,
    )


def _settings_of(dataloader: Union[DataLoader, dict]) -> str:
    """The transforms of a loader's data set, as text, without the list of images."""
    if isinstance(dataloader, DataLoader):
        return repr(dataloader.dataset)
    return json.dumps(list(_pipelines(dataloader['dataset'])), sort_keys=True, default=str)


def _pipelines(node: Any) -> Iterator[Any]:
    """The pipelines of a data set's config, and of what it wraps."""
    if isinstance(node, dict):
        if 'pipeline' in node:
            yield node['pipeline']
        node = [child for key, child in node.items() if key != 'pipeline']
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from _pipelines(child)
