"""Trained weights fitted to one's own photos in one line."""

import shutil

import pytest
from mmengine.config import Config

from tests.conftest import run_tool
from vgg_mm.apis.check_dataset.layout import find_layout
from vgg_mm.apis.finetune.decide import decide
from vgg_mm.apis.finetune.split import Split, split_photos
from vgg_mm.evaluation import read_records

OPTIONS = ('--epochs', '2', '--batch-size', '8')


@pytest.fixture(scope='module')
def photos(few_digits, tmp_path_factory):
    """Three classes of ten photos, one of which is broken, with names as people give them."""
    folder = tmp_path_factory.mktemp('finetune') / 'meine Fotos'
    for name, digit in (('Größe S', 0), ('猫', 1), ('x', 7)):
        source = sorted((few_digits / 'train' / str(digit)).iterdir())[:10]
        (folder / name).mkdir(parents=True)
        for path in source:
            shutil.copy(path, folder / name)
    broken = find_layout(str(folder)).path(0)
    assert broken in [
        f'{folder}/{path}' for path, _ in split_photos(find_layout(str(folder))).train
    ]
    with open(broken, 'wb') as file:
        file.write(b'no image')
    return folder


@pytest.fixture(scope='module')
def done(photos, net_a):
    weights = net_a / 'epoch_2.pth'
    return run_tool('finetune.py', photos, '--weights', weights, *OPTIONS, cwd=photos.parent)


def test_from_photos_to_a_table(done, photos):
    assert 'Größe S 8 + 2, x 8 + 2, 猫 8 + 2' in done.stdout
    assert (
        'net A (VGG-11), no norm, width 16, fc6/fc7 512/512, 10 classes; fc8 is new' in done.stdout
    )
    assert 'mean 77.8/77.8/77.8' in done.stdout  # the digits', from the weights' own config
    work_dir = photos.parent / 'work_dirs' / 'finetune_meine_Fotos'
    (record,) = read_records(work_dir / 'meine_Fotos' / 'test_results.jsonl')
    assert (record.net, record.protocol, record.images) == ('A', 'dense', 6)
    assert f'{record.error(1):.1f} [' in done.stdout
    assert 'no image' not in done.stdout
    skipped = (work_dir / 'meine_Fotos' / 'skipped_images.txt').read_text()
    assert 'Größe S' in skipped.splitlines()[0]


def test_every_tool_takes_what_it_wrote(done, photos, tmp_path):
    checkpoint = (
        photos.parent / 'work_dirs' / 'finetune_meine_Fotos' / 'meine_Fotos' / 'epoch_2.pth'
    )
    shown = run_tool('predict.py', photos, checkpoint, '--out', 'r.csv', cwd=tmp_path).stdout
    assert 'Größe S' in shown and 'could not be read: 1' in shown
    run_tool('export.py', checkpoint, 'net.safetensors', cwd=tmp_path)
    run_tool('extract_features.py', checkpoint, photos, '--out', 'f.npz', cwd=tmp_path)
    plan = run_tool(
        'finetune.py', photos, '--weights', checkpoint, '--dry-run', cwd=tmp_path
    ).stdout
    assert '3 classes; fc8 is new' in plan and 'mean 77.8/77.8/77.8' in plan


def test_the_config_is_an_ordinary_one(done, photos, tmp_path):
    path = photos.parent / 'work_dirs' / 'finetune_meine_Fotos' / 'meine_Fotos.py'
    cfg = Config.fromfile(path)
    assert cfg.model.head.num_classes == 3 and cfg.model.backbone.frozen_stages == 2
    assert cfg.train_dataloader.dataset.metainfo.classes == ['Größe S', 'x', '猫']
    options = ['--work-dir', tmp_path, '--cfg-options', 'train_cfg.max_epochs=1']
    trained = run_tool('train.py', path, *options, cwd=tmp_path)
    assert 'Epoch(val) [1]' in trained.stdout


def test_a_second_call_finds_it_done(done, photos, net_a):
    weights = net_a / 'epoch_2.pth'
    again = run_tool('finetune.py', photos, '--weights', weights, *OPTIONS, cwd=photos.parent)
    assert 'done before' in again.stdout and 'Testing' not in again.stdout
    table = done.stdout[done.stdout.index('Errors in percent') :]
    assert table in again.stdout


@pytest.mark.parametrize(
    'options, message',
    [
        (('--epochs', '3'), 'holds other settings than those asked for: use another --work-dir'),
        (('--epochs', '0'), '--epochs must be at least 1, got 0'),
        (('--lr', '-1'), '--lr must be positive, got -1.0'),
        (('--frozen', '6'), '--frozen must be 0 to 5 blocks, got 6'),
        (('--seed', '1'), 'lists other photos than the folder has: use another --work-dir'),
        (('--weights', 'none.pth'), 'checkpoint not found: none.pth'),
    ],
)
def test_wrong_calls(done, photos, net_a, options, message):
    call = ['--weights', net_a / 'epoch_2.pth', *OPTIONS, *options]
    failed = run_tool('finetune.py', photos, *call, cwd=photos.parent, check=False)
    assert failed.returncode == 1
    assert message in failed.stderr and failed.stderr.strip().count('\n') == 0


@pytest.mark.parametrize(
    'photos, epochs, milestones, batch, frozen',
    [(3, 30, [18, 26], 3, 2), (1200, 27, [16, 23], 32, 2), (50_000, 10, [6, 8], 32, 0)],
)
def test_what_is_decided(photos, epochs, milestones, batch, frozen):
    split = Split(['a', 'b'], [('p.jpg', 0)] * photos, [], '')
    found = decide(split, 224)
    assert (found.epochs, found.milestones, found.batch_size) == (epochs, milestones, batch)
    assert found.frozen_stages == frozen
    assert (found.jitter, found.test_scale) == ((256, 384), 320)
