"""Training on cached feature maps, with the command-line tools and part by part."""

import json
import logging
import os
import re
import shutil
import signal
import time
from contextlib import nullcontext
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS, MODELS
from mmpretrain.structures import DataSample
from torch.utils.data import DataLoader

from tests.conftest import A_DIGITS, run_tool
from tests.engine.test_exact_resume import BY_ITERATION, TINY, assert_equal
from tests.preloaded import start
from vgg_mm.checkpoints import load_checkpoint
from vgg_mm.datasets.cached_maps import CHUNK, CachedMaps, MapFiles, image_digests
from vgg_mm.datasets.class_names import MapLabels
from vgg_mm.engine.cached_maps_loops import _Cache, maps_as_inputs
from vgg_mm.kernels import accelerate
from vgg_mm.seeding import FOR_SAMPLE, seed_draws

CONFIG = f"""
_base_ = {A_DIGITS!r}
train_cfg = dict(
    _delete_=True, type='vgg_mm.CachedMapsTrainLoop', max_epochs=3, views=2, val_interval=3
)
val_cfg = dict(type='vgg_mm.CachedMapsValLoop')
model = dict(backbone=dict(frozen_stages=4))
"""
OPTIONS = (
    *TINY,
    'train_dataloader.batch_size=24',
    'default_hooks.checkpoint.interval=1',
    'default_hooks.logger.interval=1',
)


def train(home, data, run, *options, resume=None, check=True):
    (home / 'config.py').write_text(CONFIG)
    resuming = ['--resume', *([resume] if isinstance(resume, str) else [])] if resume else []
    arguments = ['--work-dir', run, *resuming, '--cfg-options', f'DATA_ROOT={data}']
    done = run_tool('train.py', 'config.py', *arguments, *OPTIONS, *options, cwd=home, check=check)
    done.stdout += done.stderr
    return done


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    return tmp_path_factory.mktemp('cached')


@pytest.fixture(scope='module')
def whole(home, few_digits):
    """An uninterrupted run: three epochs of five iterations."""
    return train(home, few_digits, 'whole', *BY_ITERATION[2:])


def files(home, run, part='train'):
    return sorted((home / run / 'maps' / part).glob('*.npy'))


def times(home, run):
    return {path.name: path.stat().st_mtime_ns for path in files(home, run)}


def net(arch, frozen, faster, **backbone):
    torch.manual_seed(0)
    cfg = dict(
        type='ImageClassifier',
        data_preprocessor=dict(type='ClsDataPreprocessor', mean=[99, 98, 97], std=[1, 2, 3]),
        backbone=dict(
            type='vgg_mm.VGG', arch=arch, base_channels=4, frozen_stages=frozen, **backbone
        ),
        head=dict(type='vgg_mm.ConvHead', num_classes=3, in_channels=32, fc_channels=8,
                  kernel_size=2, dropout=0.0),
    )  # fmt: skip
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg)
    return accelerate(model) if faster else model


@pytest.mark.parametrize('faster', [False, True])
@pytest.mark.parametrize(
    'arch, frozen, options',
    [('D', 5, {}), ('D', 4, {}), ('A', 3, dict(norm_cfg=dict(type='BN'))), ('A-LRN', 1, {})],
)
def test_training_on_maps_equals_training_on_images(arch, frozen, options, faster):
    """Loss and gradients are equal for maps in float32; the loss is close in half precision."""
    model = net(arch, frozen, faster, **options).train()
    images = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    samples = [DataSample().set_gt_label(i) for i in range(3)]
    data = model.data_preprocessor(dict(inputs=images, data_samples=samples), True)
    loss = model(**data, mode='loss')['loss']
    loss.backward()
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    assert not any(re.search(rf'(conv|bn)[1-{frozen}]_', name) for name in gradients)
    model.zero_grad()
    with torch.no_grad():
        maps = model.backbone.frozen_map(data['inputs'])
    batch = dict(inputs=maps, data_samples=samples)
    with maps_as_inputs(model):
        on_maps = model(**model.data_preprocessor(batch, True), mode='loss')['loss']
        on_maps.backward()
        halves = model.data_preprocessor(dict(batch, inputs=maps.half()), True)
        on_halves = model(**halves, mode='loss')['loss']
    assert torch.allclose(on_maps, loss, rtol=1e-5)
    assert torch.allclose(on_halves, loss, rtol=2e-3)
    found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert found.keys() == gradients.keys()
    # Biases before a norm have no effect: their gradients are only rounding errors.
    least = 1e-4 * max(gradient.abs().max() for gradient in gradients.values())
    for name, gradient in gradients.items():
        assert torch.allclose(found[name], gradient, rtol=1e-3, atol=least)
    # Afterwards the model takes images again.
    assert model(**data, mode='tensor').shape == (3, 3)


def test_cached_maps_are_those_of_the_pipelines_crops(whole, home, few_digits):
    """Each map equals that of the checkpoint's net, with torch's own layers, for the same crop."""
    checkpoint = load_checkpoint(home / 'whole' / 'epoch_3.pth')
    from mmengine.config import Config

    cfg = Config.fromstring(checkpoint['meta']['cfg'], '.py')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = DATASETS.build(cfg.train_dataloader.dataset.dataset)
        model = MODELS.build(cfg.model).eval()
    model.load_state_dict(checkpoint['state_dict'])
    found = files(home, 'whole')
    assert len(found) == 2 * -(-len(dataset) // CHUNK)
    for path in (found[0], found[-1]):
        view, first = map(int, path.name.split('-')[:2])
        maps = np.load(path)
        samples = json.loads(path.with_suffix('.json').read_text())
        for place in (0, len(maps) - 1):
            seed_draws(FOR_SAMPLE, 0, view, first + place)
            item = dataset[first + place]
            assert samples[place]['label'] == item['data_samples'].gt_label.tolist()
            image = model.data_preprocessor(dict(inputs=item['inputs'][None]))['inputs']
            with torch.no_grad():
                expected = model.backbone.frozen_map(image)[0].numpy()
            assert np.allclose(maps[place], expected, rtol=2e-3, atol=1e-3 * expected.max())
    assert not np.array_equal(np.load(found[0])[0], np.load(found[len(found) // 2])[0])


def test_the_checkpoint_is_a_whole_net(whole, home, few_digits):
    """test.py finds the error of the validation on maps; predict.py and export.py accept it."""
    (said,) = re.findall(r'Epoch\(val\) \[3\].*error/top1: ([\d.]+)', whole.stdout)
    tested = run_tool(
        'test.py', 'config.py', 'whole', '--cfg-options', f'DATA_ROOT={few_digits}', *TINY[:3],
        cwd=home,
    )  # fmt: skip
    assert f'error/top1: {said}' in tested.stdout + tested.stderr
    run_tool('predict.py', few_digits / 'val' / '3', 'whole', '--out', 'r.csv', cwd=home)
    run_tool('export.py', 'whole', 'net.safetensors', cwd=home)
    begun = load_checkpoint(home / 'whole' / 'epoch_3.pth')['state_dict']
    assert {'backbone.conv1_1.weight', 'head.fc8.bias'} <= begun.keys()


def test_frozen_layers_stay_and_the_others_learn(whole, home):
    first, last = (load_checkpoint(home / 'whole' / f'epoch_{n}.pth')['state_dict'] for n in (1, 3))
    same = {name for name in first if torch.equal(first[name], last[name])}
    assert {name.split('.')[1] for name in first.keys() - same} >= {'conv5_1', 'fc6', 'fc8'}
    assert {name.split('.')[1][:5] for name in same} == {'conv1', 'conv2', 'conv3', 'conv4'}


def test_a_second_run_uses_the_cached_maps(whole, home, few_digits):
    shutil.copytree(home / 'whole' / 'maps', home / 'again' / 'maps')
    before = times(home, 'again')
    again = train(home, few_digits, 'again', *BY_ITERATION[2:])
    assert '0 of 240 to compute' in again.stdout and times(home, 'again') == before
    assert_equal(home / 'again' / 'epoch_3.pth', home / 'whole' / 'epoch_3.pth')


def train_here(home, data, run):
    os.chdir(home)
    train(home, data, run, 'train_dataloader.num_workers=0', *BY_ITERATION[2:])


def test_a_killed_run_is_resumed(whole, home, few_digits):
    """If a run is killed while it computes maps, finished maps are kept and the result is equal."""
    process = start(train_here, home, few_digits, 'killed')
    while len(files(home, 'killed')) < 3:
        assert process.is_alive()
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    for child in _children_of_tool(home, 'killed'):
        os.kill(child, signal.SIGKILL)
    before = times(home, 'killed')
    assert 3 <= len(before) < 8
    done = train(home, few_digits, 'killed', *BY_ITERATION[2:], resume=True)
    (to_do,) = re.findall(r'(\d+) of 240 to compute', done.stdout)
    assert 0 < int(to_do) < 240
    after = times(home, 'killed')
    assert before.items() <= after.items() and len(after) == 8
    assert_equal(home / 'killed' / 'epoch_3.pth', home / 'whole' / 'epoch_3.pth')


def _children_of_tool(home, run):
    """Processes that still train in the folder, because the tool runs in a separate process."""
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/cmdline', 'rb') as file:
                words = file.read().split(b'\0')
            folder = os.readlink(f'/proc/{pid}/cwd')
        except OSError:
            continue
        if folder == str(home) and words[0]:
            yield int(pid)


def test_resuming_within_an_epoch(home, few_digits):
    """The resumed run uses the same maps and ends with the same weights."""
    train(home, few_digits, 'steps', *BY_ITERATION)
    shutil.copytree(home / 'steps' / 'maps', home / 'part' / 'maps')
    before = times(home, 'part')
    train(home, few_digits, 'part', *BY_ITERATION, resume='steps/iter_9.pth')
    assert times(home, 'part') == before
    assert_equal(home / 'part' / 'iter_15.pth', home / 'steps' / 'iter_15.pth')


def test_other_photos_and_other_weights_are_noticed(whole, home, few_digits, tmp_path):
    """A changed photo costs the maps in its files; with other weights all maps are recomputed."""
    data = tmp_path / 'data'
    shutil.copytree(few_digits, data)
    train(home, data, 'changed', 'train_cfg.max_epochs=1')
    before = times(home, 'changed')
    photo = sorted((data / 'train' / '0').iterdir())[0]
    size = photo.stat()
    image = cv2.imread(str(photo))
    cv2.imwrite(str(photo), image[::-1])
    os.utime(photo, ns=(size.st_atime_ns, size.st_mtime_ns))
    second = train(home, data, 'changed', 'train_cfg.max_epochs=1')
    assert '64 of 240 to compute' in second.stdout
    assert '2 files of other weights, settings or photos removed' in second.stdout
    after = times(home, 'changed')
    assert len(before.items() & after.items()) == 6 and len(after) == 8
    seeds = [o for o in OPTIONS if 'seed' in o]
    other = train(home, data, 'changed', 'train_cfg.max_epochs=1', 'randomness.seed=4')
    assert seeds == ['randomness.seed=3']  # also the seed of the random weights
    assert '240 of 240 to compute' in other.stdout and len(files(home, 'changed')) == 8


def test_damaged_files_are_named(whole, home, few_digits):
    shutil.copytree(home / 'whole' / 'maps', home / 'damaged' / 'maps')
    path = files(home, 'damaged')[1]
    path.write_bytes(path.read_bytes()[:-7])
    failed = train(home, few_digits, 'damaged', check=False)
    assert failed.returncode == 1
    assert f'{path.relative_to(home)} is damaged' in failed.stdout
    assert 'delete it and run the same command again' in failed.stdout
    path.unlink()
    assert '32 of 240 to compute' in train(home, few_digits, 'damaged').stdout


def test_photos_that_cannot_be_read(home, few_digits, tmp_path):
    """Training replaces them with other photos and labels; in validation they are errors."""
    data = tmp_path / 'data'
    shutil.copytree(few_digits, data)
    for part in ('train', 'val'):
        sorted((data / part / '0').iterdir())[1].write_bytes(b'')
    (home / 'broken.py').write_text(
        CONFIG + "val_dataloader = dict(dataset=dict(pipeline=[dict(type='vgg_mm.LoadImage', "
        "on_error='mark', lazy=True), dict(type='vgg_mm.CentralCrop', scale=80, crop_size=64), "
        "dict(type='PackInputs', meta_keys=('img_path', 'sample_idx', 'load_error'))]))\n"
    )
    call = ('--work-dir', 'stopped', '--cfg-options', f'DATA_ROOT={data}', *OPTIONS)
    failed = run_tool('train.py', 'broken.py', *call, cwd=home, check=False)
    assert failed.stderr.splitlines()[-1].endswith('; --broken-images skip skips it')
    arguments = ('--broken-images', 'skip', '--work-dir', 'broken', '--cfg-options')
    done = run_tool('train.py', 'broken.py', *arguments, f'DATA_ROOT={data}', *OPTIONS, cwd=home)
    said = done.stdout + done.stderr
    assert '1 of 40 images could not be read and count as errors' in said
    assert '1 training image(s) skipped in all' in said
    labels = [
        entry['label'][0]
        for path in files(home, 'broken')
        for entry in json.loads(path.with_suffix('.json').read_text())
    ]
    assert len(labels) == 240 and labels.count(0) in (22, 23, 24)


@pytest.mark.parametrize(
    'option, message',
    [
        ('train_cfg.views=0', 'views must be at least 1, got 0'),
        ('model.backbone.frozen_stages=0', 'none is frozen: --cfg-options model.backbone'),
        ('train_cfg.max_gb=0.0001', 'GB, more than max_gb=0.0001: fewer views, more frozen'),
        ('train_dataloader.num_batch_per_epoch=2', 'num_batch_per_epoch of the data loader uses'),
        ('model.backbone.out_indices=[2,4]', 'names maps before the end of the 4 frozen blocks'),
    ],
)
def test_wrong_settings(home, few_digits, option, message):
    failed = train(home, few_digits, 'wrong', option, check=False)
    assert failed.returncode == 1 and message in failed.stdout
    assert not files(home, 'wrong')


def open_files():
    return len(os.listdir('/proc/self/fd'))


def test_digests_change_with_the_images(tmp_path):
    class Images(list):
        def get_data_info(self, index):
            return self[index]

    def digests(*infos):
        return list(image_digests(Images(infos)))

    image = np.zeros((40, 40, 3), np.uint8)
    before = digests(dict(img=image.copy()))
    image[20, 20] = 1  # repr shows the corners alone
    assert digests(dict(img=image)) != before
    shard = tmp_path / 'a.tar'
    shard.write_bytes(b'1')
    place = dict(img_path=f'{shard}::1.png', place=(0, 0, 1))
    before = digests(place)
    assert digests(place) == before
    shard.write_bytes(b'22')
    assert digests(place) != before


def test_every_view_is_used(whole, home):
    class Digits:
        metainfo: dict = {}

        def __len__(self):
            return 70

        def get_data_info(self, index):
            return dict(img_path='none', gt_label=index % 10)

    folder = str(home / 'turns')
    kept = MapFiles(folder, list(image_digests(Digits())), 3, 'recipe')
    for chunk in kept.missing():
        count = chunk.last - chunk.first
        maps = torch.arange(chunk.first, chunk.last).view(-1, 1, 1, 1) + 100.0 * chunk.view
        samples = [DataSample().set_gt_label(i % 10) for i in range(chunk.first, chunk.last)]
        kept.write(chunk, maps, samples)
        assert len(maps) == count
    before = open_files()
    maps = CachedMaps(kept, Digits())
    for index in (0, 31, 32, 69):
        seen = set()
        for maps.epoch in range(3):
            item = maps[0, maps.epoch, index]
            assert item['data_samples'].gt_label.tolist() == [index % 10]
            assert item['inputs'].item() % 100 == index
            seen.add(item['inputs'].item())
        assert len(seen) == 3
    assert open_files() == before, 'a process may have some 1,000, and there are more chunks'
    with pytest.raises(OverflowError, match='half precision'):
        kept.write(chunk, torch.full((count, 1, 1, 1), 1e5), samples)


def test_labels_that_are_matched_anew_are_not_taken_from_the_cache(tmp_path):
    """With another class in the training set, a validation set's labels have other numbers."""
    for name in 'ac':
        (tmp_path / 'val' / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / 'val' / name / '1.png'), np.zeros((64, 64, 3), np.uint8))
    model = net('A', 5, False).eval()
    for numbers in ([0, 1], [0, 2]):
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            dataset = DATASETS.build(
                dict(
                    type='CustomDataset',
                    data_root=str(tmp_path / 'val'),
                    test_mode=True,
                    pipeline=[
                        dict(type='vgg_mm.LoadImage'),
                        dict(type='vgg_mm.CentralCrop', scale=64, crop_size=64),
                        dict(type='PackInputs'),
                    ],
                )
            )
        dataset.pipeline.transforms.insert(0, MapLabels(numbers))
        run = SimpleNamespace(model=model, work_dir=str(tmp_path), logger=logging.getLogger())
        cache = _Cache(run, 'val', None, 1.0, 1, 0, 'settings')
        maps = cache.maps(DataLoader(dataset, batch_size=2), nullcontext)
        assert [maps[i]['data_samples'].gt_label.item() for i in (0, 1)] == numbers
