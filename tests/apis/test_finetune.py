"""Fine-tuning on own photos with one command."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from tests.apis.feature_nets import save_net
from tests.conftest import run_tool
from vgg_mm.apis.check_dataset.layout import find_layout
from vgg_mm.apis.convert_weights import Net
from vgg_mm.apis.finetune.decide import choose_head, decide
from vgg_mm.apis.finetune.run import _write_once, finetune
from vgg_mm.apis.finetune.split import Split, split_photos
from vgg_mm.checkpoints import load_checkpoint
from vgg_mm.checkpoints.preprocessing import CENTRED_BGR, CENTRED_RGB, STANDARDISED_RGB
from vgg_mm.evaluation import read_records
from vgg_mm.models import VGG

#: Without cached maps, two blocks are frozen, with or without a GPU.
OPTIONS = ('--epochs', '2', '--batch-size', '8', '--cache-maps', 'off')


@pytest.fixture(scope='module')
def photos(few_digits, tmp_path_factory):
    """Three classes of ten photos, one of them broken, in folders with non-ASCII names."""
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
    assert 'mean 77.8/77.8/77.8' in done.stdout  # of the digits, from the config in the checkpoint
    work_dir = photos.parent / 'work_dirs' / 'finetune_meine_Fotos'
    (record,) = read_records(work_dir / 'meine_Fotos' / 'test_results.jsonl')
    assert (record.net, record.protocol, record.images) == ('A', 'dense', 6)
    assert f'{record.error(1):.1f} [' in done.stdout
    assert 'no image' not in done.stdout
    skipped = (work_dir / 'meine_Fotos' / 'skipped_images.txt').read_text()
    assert 'Größe S' in skipped.splitlines()[0]


def with_recorded(path, out, **backbone):
    """The checkpoint as if its net had these settings, which leave no trace in the weights."""
    content = torch.load(path, weights_only=False)
    cfg = Config.fromstring(content['meta']['cfg'], '.py')
    cfg.model.backbone.update(backbone)
    content['meta']['cfg'] = cfg.pretty_text
    torch.save(content, out)
    return str(out)


def test_settings_of_the_net_in_the_checkpoint(photos, net_a, tmp_path, capsys):
    weights = with_recorded(net_a / 'epoch_2.pth', tmp_path / 'lrn.pth', arch='A-LRN')
    finetune(str(photos), weights, work_dir=tmp_path / 'lrn', dry_run=True, epochs=1)
    assert 'net A-LRN' in capsys.readouterr().out
    config = Config.fromfile(tmp_path / 'lrn/meine_Fotos.py')
    assert config.model.backbone.arch == 'A-LRN'
    for name, value in (
        ('act_cfg', dict(type='LeakyReLU')),
        ('with_last_pool', False),
        ('strides', [2, 2, 2, 2, 1]),
    ):
        weights = with_recorded(net_a / 'epoch_2.pth', tmp_path / 'other.pth', **{name: value})
        with pytest.raises(ValueError, match=f'other.pth is of a net with {name}=.* own config'):
            finetune(str(photos), weights, work_dir=tmp_path / 'other', dry_run=True, epochs=1)
    assert not (tmp_path / 'other').exists()


def test_other_tools_read_its_output(done, photos, tmp_path):
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


def test_train_py_runs_the_written_config(done, photos, tmp_path):
    path = photos.parent / 'work_dirs' / 'finetune_meine_Fotos' / 'meine_Fotos.py'
    cfg = Config.fromfile(path)
    assert cfg.model.head.num_classes == 3 and cfg.model.backbone.frozen_stages == 2
    assert cfg.train_dataloader.dataset.metainfo.classes == ['Größe S', 'x', '猫']
    options = ['--work-dir', tmp_path, '--cfg-options', 'train_cfg.max_epochs=1']
    trained = run_tool('train.py', path, *options, cwd=tmp_path)
    assert 'Epoch(val) [1]' in trained.stdout


def test_second_call_does_not_train_again(done, photos, net_a):
    weights = net_a / 'epoch_2.pth'
    again = run_tool('finetune.py', photos, '--weights', weights, *OPTIONS, cwd=photos.parent)
    assert 'done before' in again.stdout and 'Testing' not in again.stdout
    table = done.stdout[done.stdout.index('Errors in percent') :]
    assert table in again.stdout


@pytest.mark.parametrize(
    'options, message',
    [
        (('--epochs', '3'), 'contains other settings: use another --work-dir'),
        (('--epochs', '0'), '--epochs must be at least 1, got 0'),
        (('--lr', '-1'), '--lr must be positive, got -1.0'),
        (('--frozen', '6'), '--frozen must be 0 to 5 blocks, got 6'),
        (('--views', '3'), '--views 3 requires cached maps, but --cache-maps is off'),
        (('--cache-maps', 'on', '--views', '0'), '--views must be at least 1, got 0'),
        (('--cache-maps', 'on', '--frozen', '0'), '--cache-maps on: --frozen 0 leaves no block'),
        (('--cache-maps', 'on', '--frozen', '4', '--unfreeze', '1'), 'give only one of them'),
        (('--cache-maps', 'on', '--unfreeze', '5'), '--unfreeze must be 0 to 4 blocks, got 5'),
        (('--cache-maps', 'on', '--views', '999999'), 'GB, more than 20'),
        (
            ('--work-dir', 'meine Fotos/runs'),
            'lies in the folder of the photos, where it would',
        ),
        (('--seed', '1'), 'lists other photos than the folder contains: use another --work-dir'),
        (('--weights', 'none.pth'), 'checkpoint not found: none.pth'),
    ],
)
def test_wrong_calls(done, photos, net_a, options, message):
    call = ['--weights', net_a / 'epoch_2.pth', *OPTIONS, *options]
    failed = run_tool('finetune.py', photos, *call, cwd=photos.parent, check=False)
    assert failed.returncode == 1
    assert message in failed.stderr and failed.stderr.strip().count('\n') == 0


def test_a_folder_called_chain(photos, net_a, tmp_path, monkeypatch):
    """The stage's config is not the chain's file."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'chain').symlink_to(photos)
    for _ in range(2):
        finetune('chain', str(net_a / 'epoch_2.pth'), work_dir='run', dry_run=True, epochs=1)
    assert {path.name for path in Path('run').glob('*.py')} == {'chain.py', 'photos_chain.py'}


@pytest.mark.parametrize(
    'photos, epochs, milestones, batch, frozen',
    [(3, 30, [18, 26], 3, 2), (1200, 27, [16, 23], 32, 2), (50_000, 10, [6, 8], 32, 0)],
)
def test_decisions(photos, epochs, milestones, batch, frozen):
    split = Split(['a', 'b'], [('p.jpg', 0)] * photos, [], '')
    found = decide(split, 224)
    assert (found.epochs, found.milestones, found.batch_size) == (epochs, milestones, batch)
    assert found.frozen_stages == frozen
    assert (found.jitter, found.test_scale) == ((256, 384), 320)
    new = decide(split, 224, new_fc6=True)
    assert (new.jitter, new.test_scale) == ((224, 320), 256)
    on_maps = decide(split, 224, views=2)
    assert (on_maps.epochs, on_maps.frozen_stages, on_maps.views) == (20, 5, 2)
    assert decide(split, 224, views=2, frozen_stages=3, epochs=4).frozen_stages == 3
    fine = on_maps.second_stage(2)
    assert fine.frozen_stages == 3 and fine.lr == on_maps.lr and fine.epochs < on_maps.epochs


def test_decisions_from_numbers_of_numpy():
    split = Split(['a', 'b'], [('p.jpg', 0)] * 9, [], '')
    numbers = dict(epochs=np.int64(4), batch_size=np.int64(8), frozen_stages=np.int64(3))
    found = decide(split, 224, lr=np.float64(0.5), **numbers)
    assert found == decide(split, 224, lr=0.5, epochs=4, batch_size=8, frozen_stages=3)
    assert 'np.' not in repr(found)  # as it is written into configs
    with pytest.raises(ValueError, match='epochs must be an integer, got 2.5'):
        decide(split, 224, epochs=2.5)


def test_head_is_trained_on_cached_maps_by_default_without_a_gpu(photos, net_a, tmp_path):
    """The other tools read the trained net; a second call does not train again."""
    weights = net_a / 'epoch_2.pth'
    command = ('finetune.py', photos, '--weights', weights, '--epochs', '3', '--batch-size', '8')
    if torch.cuda.is_available():
        command += ('--cache-maps', 'on')
    work_dir = tmp_path / 'work_dirs' / 'finetune_meine_Fotos'
    said = run_tool(*command, cwd=tmp_path).stdout
    assert 'Frozen     blocks: first 5 of 5' in said
    assert 'Maps       of all blocks are computed once, for 3 crops of each photo' in said
    assert '72 of 72 to compute' in said and 'Epoch(val) [3]' in said
    assert not list(tmp_path.glob('work_dirs/*/*/epoch_2.pth'))
    trained = load_checkpoint(work_dir / 'meine_Fotos' / 'epoch_3.pth')['state_dict']
    begun = load_checkpoint(weights)['state_dict']
    for name, value in trained.items():
        assert torch.equal(value, begun[name]) == name.startswith('backbone.'), name
    shown = run_tool('predict.py', photos, work_dir, '--out', 'r.csv', cwd=tmp_path).stdout
    assert 'Größe S' in shown
    config = work_dir / 'meine_Fotos.py'
    run_tool('test.py', config, work_dir / 'meine_Fotos', '--tta', cwd=tmp_path)
    run_tool('export.py', work_dir, 'net.safetensors', cwd=tmp_path)
    assert 'done before' in run_tool(*command, cwd=tmp_path).stdout
    other = run_tool(*command, '--views', '2', cwd=tmp_path, check=False)
    assert 'contains other settings' in other.stderr


def test_images_and_biases_of_the_authors_nets_are_divided(photos, tmp_path):
    """The feature maps of the starting weights are those of the authors' net, divided by 58."""
    torch.manual_seed(0)
    net = VGG('A', base_channels=8)
    for value in net.parameters():
        torch.nn.init.normal_(value, std=0.1)
    weights = {f'backbone.{name}': value.clone() for name, value in net.state_dict().items()}
    meta = dict(preprocessing=CENTRED_BGR.to_meta())
    torch.save(dict(state_dict=weights, meta=meta), tmp_path / 'authors.pth')
    command = ('finetune.py', photos, '--weights', 'authors.pth', '--work-dir', 'w')
    said = run_tool(*command, *OPTIONS, cwd=tmp_path).stdout
    assert 'std 58/58/58' in said and 'Divided    images and all biases, by 58' in said
    assert 'S in [224;320]' in said
    images = torch.rand(2, 3, 64, 96) * 255 - 128
    with torch.no_grad():
        maps = net(images)[-1]
        net.load_state_dict(
            {
                name.removeprefix('backbone.'): value
                for name, value in load_checkpoint(tmp_path / 'w/start.pth')['state_dict'].items()
            }
        )
        divided = net(images / 58)[-1]
    assert maps.max() > 0
    torch.testing.assert_close(58 * divided, maps, rtol=1e-4, atol=1e-4 * maps.max().item())
    trained = load_checkpoint(tmp_path / 'w/meine_Fotos/epoch_2.pth')['state_dict']
    assert trained['backbone.conv1_1.bias'].equal(weights['backbone.conv1_1.bias'] / 58)


@pytest.mark.parametrize(
    'net, images, head, divisor',
    [
        (Net('D', 64, False), CENTRED_BGR, None, 58),
        (Net('D', 64, False), CENTRED_RGB.for_channels(1), 'fc', 58),
        (Net('D', 64, False), STANDARDISED_RGB, None, 1),  # already divided
        (Net('D', 64, False), CENTRED_BGR, 'gap', 1),  # uses a higher weight decay instead
        (Net('D', 64, False, 1000, (4096, 4096), 7), CENTRED_BGR, None, 1),  # fc6 fits the maps
        (Net('D', 64, False, 1000, (4096, 4096), 7), CENTRED_BGR, 'fc', 58),
        (Net('D', 64, True), CENTRED_BGR, None, 1),  # not homogeneous
        (Net('A-LRN', 64, False), CENTRED_BGR, None, 1),
    ],
)
def test_which_images_are_divided(net, images, head, divisor):
    assert choose_head(net, head).divisor(images, net) == divisor


def test_blocks_are_unfrozen_in_a_second_stage(photos, net_a, tmp_path):
    weights = net_a / 'epoch_2.pth'
    options = ('--epochs', '1', '--batch-size', '8', '--cache-maps', 'on', '--unfreeze', '2')
    command = ('finetune.py', photos, '--weights', weights, '--work-dir', 'w', *options)
    plan = run_tool(*command, '--dry-run', cwd=tmp_path).stdout
    assert 'Stage 2\nFrozen     blocks: first 3 of 5' in plan
    assert 'of all blocks, then of the first 3 blocks' in plan
    said = run_tool(*command, cwd=tmp_path).stdout
    assert 'Stage 2 of 2: meine_Fotos, from meine_Fotos_head' in said
    head, whole = (
        load_checkpoint(tmp_path / 'w' / name)['state_dict']
        for name in ('meine_Fotos_head/epoch_1.pth', 'meine_Fotos/epoch_10.pth')
    )
    changed = {name.split('.')[1] for name in head if not torch.equal(head[name], whole[name])}
    assert changed == {'conv4_1', 'conv4_2', 'conv5_1', 'conv5_2', 'fc6', 'fc7', 'fc8'}
    (record,) = read_records(tmp_path / 'w' / 'meine_Fotos' / 'test_results.jsonl')
    assert record.net == 'A'


def test_message_if_maps_are_not_cached(photos, net_a, tmp_path):
    if torch.cuda.is_available():
        pytest.skip('with a GPU there is no message')
    command = ('finetune.py', photos, '--weights', net_a, '--dry-run', '--frozen', '2')
    said = run_tool(*command, cwd=tmp_path).stdout
    assert 'Maps       are not cached: few blocks are frozen (--frozen 2)' in said


def test_other_weights_in_the_same_folder_are_refused(photos, tmp_path):
    call = ('--head', 'gap', '--dry-run', *OPTIONS, '--work-dir', tmp_path / 'run')
    for seed in (0, 1):
        save_net(tmp_path / f'{seed}.pth', seed=seed)
    for _ in range(2):
        run_tool('finetune.py', photos, '--weights', tmp_path / '0.pth', *call, cwd=tmp_path)
    before = (tmp_path / 'run/start.pth').read_bytes()
    failed = run_tool(
        'finetune.py', photos, '--weights', tmp_path / '1.pth', *call, cwd=tmp_path, check=False
    )
    assert failed.returncode == 1
    assert 'start.pth contains other weights to start from: use another --work-dir' in failed.stderr
    assert (tmp_path / 'run/start.pth').read_bytes() == before


def test_number_of_processes_that_read_may_change(tmp_path):
    path = str(tmp_path / 'photos.py')
    _write_once(path, 'a = dict(num_workers=2, lr=1)', 'contains other settings')
    _write_once(path, 'a = dict(num_workers=4, lr=1)', 'contains other settings')
    with pytest.raises(ValueError, match='contains other settings'):
        _write_once(path, 'a = dict(num_workers=2, lr=2)', 'contains other settings')
