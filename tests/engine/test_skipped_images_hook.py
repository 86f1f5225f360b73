"""Training with broken images: which transforms the hook sets up, what it counts and logs."""

import multiprocessing
import re

import numpy as np
import pytest
import torch
from mmengine.dataset import ClassBalancedDataset, ConcatDataset, RepeatDataset
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmpretrain.datasets import CustomDataset
from PIL import Image

from vgg_mm.checkpoints import loading_safely
from vgg_mm.datasets.samplers import SeededDataset
from vgg_mm.datasets.transforms.loading import append_line
from vgg_mm.engine.hooks.skipped_images_hook import SkippedImagesHook

LOAD = dict(type='vgg_mm.LoadImage', on_error='skip')
PIPELINE = [
    LOAD,
    dict(type='vgg_mm.ScaleJitter', scale=8, crop_size=8),
    dict(type='PackInputs'),
]


class Mean(BaseModel):
    """A model whose loss is the mean of the images."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, inputs, data_samples, mode):
        return dict(loss=self.weight * torch.stack(list(inputs)).float().mean())


@pytest.fixture
def folder(tmp_path):
    """Eight images of one class; numbers 2 and 5 are broken."""
    (tmp_path / 'train' / 'a').mkdir(parents=True)
    for i in range(8):
        path = tmp_path / 'train' / 'a' / f'{i}.png'
        Image.new('RGB', (9, 9), (i, i, i)).save(path)
    for i in (2, 5):
        (tmp_path / 'train' / 'a' / f'{i}.png').write_bytes(b'')
    return tmp_path / 'train'


def runner(folder, epochs=2, workers=2, pipeline=PIPELINE, **options):
    return Runner(
        model=Mean(),
        work_dir=str(folder.parent / 'run'),
        train_dataloader=dict(
            batch_size=2,
            num_workers=workers,
            sampler=dict(type='DefaultSampler', shuffle=True),
            dataset=dict(type='CustomDataset', data_root=str(folder), pipeline=pipeline, **options),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.0)),
        default_scope='mmpretrain',
        experiment_name=f'run_{np.random.default_rng().integers(2**60)}',
        custom_hooks=[dict(type='vgg_mm.SkippedImagesHook')],
        resume=(folder.parent / 'run' / 'last_checkpoint').exists(),
    )


def skipped(folder):
    return (folder.parent / 'run' / 'skipped_images.txt').read_text().splitlines()


def said(folder):
    """The messages on skipped images in the newest log."""
    logs = sorted((folder.parent / 'run').glob('*/*.log'), key=lambda path: path.stat().st_mtime)
    return re.findall(r'- (\d+) training image\(s\) skipped (so far|in all)', logs[-1].read_text())


def test_training_continues_and_skipped_images_are_counted(folder):
    (folder.parent / 'run').mkdir()
    (folder.parent / 'run' / 'skipped_images.txt').write_text('of/an/earlier/run.png\tempty\n')
    runner(folder).train()
    paths = [line.split('\t')[0] for line in skipped(folder)]
    assert set(paths) == {f'{folder}/a/2.png', f'{folder}/a/5.png'} and len(paths) >= 4
    assert said(folder) == [('2', 'so far'), ('2', 'in all')]
    # Another image is broken before the run is resumed.
    (folder / 'a' / '0.png').write_bytes(b'text')
    with loading_safely():
        runner(folder, epochs=3).train()
    assert len({line.split('\t')[0] for line in skipped(folder)}) == 3
    assert skipped(folder)[: len(paths)] == [f'{p}\tempty image file: {p}' for p in paths]
    assert said(folder)[-2:] == [('3', 'so far'), ('3', 'in all')]


def test_nothing_skipped(folder):
    for i in (2, 5):
        (folder / 'a' / f'{i}.png').unlink()
    runner(folder, epochs=1, workers=0).train()
    assert said(folder) == [('0', 'in all')]


def test_a_file_of_the_config_is_kept(folder):
    file = folder.parent / 'mine.txt'
    file.write_text('of/an/earlier/run.png\tempty\n')
    runner(folder, 1, 0, [dict(LOAD, skipped_file=str(file)), *PIPELINE[1:]]).train()
    assert len({line.split('\t')[0] for line in file.read_text().splitlines()}) == 3
    assert said(folder) == [('3', 'so far'), ('3', 'in all')]


@pytest.mark.parametrize(
    'pipeline, options, message',
    [
        (PIPELINE, dict(test_mode=True), 'the training set has test_mode=True'),
        ([dict(LOAD, on_error='raise'), *PIPELINE[1:]], {}, 'has no vgg_mm.LoadImage.on_error='),
    ],
)
def test_settings_that_cannot_skip_images(folder, pipeline, options, message):
    with pytest.raises(ValueError, match=message):
        runner(folder, 1, 0, pipeline, **options).train()


def wrapped(plain):
    return [
        RepeatDataset(plain, 2),
        ConcatDataset([plain, plain]),
        ClassBalancedDataset(plain, 0.1),
        SeededDataset(RepeatDataset(plain, 1)),
        torch.utils.data.Subset(plain, [0, 1]),
    ]


def test_load_transforms_inside_wrappers_are_found(folder, tmp_path):
    inner = dict(type='RandomApply', transforms=[LOAD], prob=1.0)
    choice = dict(type='RandomChoice', transforms=[[LOAD], [LOAD]])
    for step in (LOAD, inner, choice):
        for number in range(5):
            plain = CustomDataset(data_root=str(folder), pipeline=[step])
            dataset = wrapped(plain)[number]
            hook = SkippedImagesHook()
            hook.before_train(FakeRunner(dataset, tmp_path))
            assert hook._files == [str(tmp_path / 'skipped_images.txt')]
            assert plain[2]['img'].shape == (9, 9, 3)


class FakeRunner:
    iter = 0

    def __init__(self, dataset, work_dir):
        self.train_dataloader = torch.utils.data.DataLoader(dataset)
        self.work_dir = str(work_dir)


def _append(file, number):
    for i in range(300):
        append_line(file, f'{number}/{i}', 'x' * (10 * number))


def test_lines_of_several_processes_stay_whole(tmp_path):
    file = str(tmp_path / 'lines.txt')
    context = multiprocessing.get_context('fork')
    workers = [context.Process(target=_append, args=(file, number)) for number in range(1, 5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    with open(file) as lines:
        found = sorted(lines.read().splitlines())
    assert found == sorted(f'{n}/{i}\t{"x" * 10 * n}' for n in range(1, 5) for i in range(300))
