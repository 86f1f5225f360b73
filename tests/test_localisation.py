"""Localisation (Appendix A) with configs and tools as a user runs them, on generated photos."""

import json
import re
from copy import deepcopy

import cv2
import mmengine
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS, TRANSFORMS

from tests.conftest import ROOT, run_tool
from vgg_mm.checkpoints import load_checkpoint
from vgg_mm.models import LocalisationHead

CONFIGS = ROOT / 'configs/localisation'
CLASSIFIER, PCR, SCR_FC = (
    str(CONFIGS / f'vgg16_{name}animals.py') for name in ('', 'pcr_', 'scr_fc_')
)

#: Options for narrow nets of the animals' configs.
NARROW = [
    'model.backbone.base_channels=4',
    'model.head.in_channels=32',
    'model.head.fc_channels=48',
]


def generate(folder, split, count, rng):
    """Write photos of noise with a bright disc or a dark square, in COCO format."""
    (folder / split).mkdir(parents=True)
    images, annotations = [], []
    for number in range(count):
        height, width = rng.integers(80, 140, 2).tolist()
        image = rng.integers(90, 150, (height, width, 3), dtype=np.uint8)
        label, radius = number % 2, int(rng.integers(15, 32))
        x, y = (int(rng.integers(radius, side - radius)) for side in (width, height))
        corners = (x - radius, y - radius), (x + radius - 1, y + radius - 1)
        if label:
            cv2.circle(image, (x, y), radius, (255, 255, 255), -1)
        else:
            cv2.rectangle(image, *corners, (0, 0, 0), -1)
        name = f'{number}.png'
        cv2.imwrite(str(folder / split / name), image)
        images.append(dict(id=number, file_name=name, width=width, height=height))
        box = [*corners[0], 2 * radius, 2 * radius]
        annotations.append(dict(id=number, image_id=number, category_id=label, bbox=box))
    categories = [dict(id=0, name='square'), dict(id=1, name='disc')]
    content = dict(images=images, annotations=annotations, categories=categories)
    (folder / f'{split}.json').write_text(json.dumps(content))


@pytest.fixture(scope='module')
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data') / 'shapes'
    rng = np.random.default_rng(0)
    generate(folder, 'train', 48, rng)
    generate(folder, 'val', 12, rng)
    return folder


def options(data, epochs, *more):
    return [
        '--cfg-options',
        f'DATA_ROOT={data}',
        f'train_cfg.max_epochs={epochs}',
        f'train_cfg.val_interval={epochs}',
        'train_dataloader.batch_size=16',
        'default_hooks.logger.interval=3',
        'default_hooks.checkpoint.interval=1',
        *NARROW,
        *more,
    ]


@pytest.fixture(scope='module')
def classifier(shapes, tmp_path_factory):
    """Checkpoint of a classification net, trained for one epoch."""
    work_dir = tmp_path_factory.mktemp('classifier')
    # Without the authors' convolutions, which would be downloaded and have another width.
    scratch = ['default_hooks.classifier_init.checkpoint=None', 'model.backbone.frozen_stages=-1']
    arguments = ['--work-dir', work_dir, *options(shapes, 1, *scratch)]
    run_tool('train.py', CLASSIFIER, *arguments, cwd=work_dir)
    return work_dir / 'epoch_1.pth'


@pytest.fixture(scope='module')
def localiser(shapes, classifier, tmp_path_factory):
    """Work directory and output of a localisation net that starts from the classifier."""
    work_dir = tmp_path_factory.mktemp('localiser')
    more = [
        f'default_hooks.staged_init.checkpoint={classifier}',
        'load_from=None',
        'optim_wrapper.optimizer.lr=0.02',
        'param_scheduler.1.milestones=[12]',
        'default_hooks.checkpoint.interval=12',
    ]
    arguments = ['--work-dir', work_dir, *options(shapes, 12, *more)]
    done = run_tool('train.py', PCR, *arguments, cwd=work_dir)
    return work_dir, done.stdout + done.stderr


def losses(work_dir):
    (file,) = work_dir.glob('*/vis_data/scalars.json')
    rows = map(json.loads, file.read_text().splitlines())
    return [row['loss'] for row in rows if 'loss' in row]


def test_training_starts_from_the_classifier_and_the_loss_falls(localiser, classifier):
    work_dir, output = localiser
    assert 'head.fc7.weight -> head.fc7.weight (48, 48)' in output
    assert 'head.fc8.weight -> ' not in output
    found = losses(work_dir)
    assert np.mean(found[-3:]) < 0.5 * np.mean(found[:3])
    assert re.search(r'localisation/error_class_known: \d', output)


def test_testing_with_the_simplified_protocol_and_pictures(localiser, shapes, tmp_path):
    work_dir, _ = localiser
    arguments = [work_dir / 'epoch_12.pth', '--work-dir', tmp_path, '--show-dir', tmp_path / 'pics']
    arguments += ['--out', tmp_path / 'm.json', '--out-item', 'metrics']
    done = run_tool('test.py', PCR, *arguments, *test_options(shapes), cwd=tmp_path)
    metrics = mmengine.load(tmp_path / 'm.json')
    assert set(metrics) == {'localisation/error_class_known'}
    assert 'localisation error at IoU 0.5, with its 95 % interval:' in done.stdout + done.stderr
    pictures = sorted((tmp_path / 'pics').glob('*.png'))
    assert len(pictures) == 12 and cv2.imread(str(pictures[0])).shape == (320, 320, 3)


def test_options(data, *more):
    return ['--cfg-options', f'DATA_ROOT={data}', *NARROW, *more]


test_options.__test__ = False  # arguments of test.py


def member(checkpoint, place='classifiers'):
    narrow = [option.replace('model.', f'tta_model.{place}.0.config.') for option in NARROW]
    return [*narrow, f'tta_model.{place}.0.checkpoint={checkpoint}']


def test_testing_with_the_full_protocol(localiser, classifier, shapes, tmp_path):
    """Two scales, a broken image, pictures, and the predictions for each image."""
    work_dir, _ = localiser
    data = tmp_path / 'data'
    (data / 'val').mkdir(parents=True)
    (data / 'val.json').write_bytes((shapes / 'val.json').read_bytes())
    for path in (shapes / 'val').iterdir():
        content = path.read_bytes()
        (data / 'val' / path.name).write_bytes(content[:100] if path.stem == '3' else content)
    arguments = [work_dir / 'epoch_12.pth', '--work-dir', tmp_path, '--tta']
    arguments += ['--broken-images', 'count', '--show-dir', tmp_path / 'pics', '--out', 'out.pkl']
    scales = 'tta_pipeline.1.scales=(128,160)'
    done = run_tool(
        'test.py', PCR, *arguments, *test_options(data, *member(classifier), scales), cwd=tmp_path
    )
    output = done.stdout + done.stderr
    assert re.search(r'error_top1: .* of 12 images', output)
    predictions = mmengine.load(tmp_path / 'out.pkl')
    assert [p['sample_idx'] for p in predictions] == list(range(12))
    for number, prediction in enumerate(predictions):
        guesses = prediction['pred_instances']
        assert guesses['bboxes'].shape == (2, 4) and set(guesses['labels'].tolist()) == {0, 1}
        assert (guesses['bboxes'][:, 2:] <= torch.tensor(prediction['ori_shape'][::-1])).all()
        assert ('load_error' in prediction) == (number == 3)
    assert len(list((tmp_path / 'pics').glob('*.png'))) == 12


def test_training_only_the_fully_connected_layers(classifier, shapes, tmp_path):
    """Frozen convolutions remain bit-identical to those of the classification net."""
    more = [f'default_hooks.staged_init.checkpoint={classifier}']
    run_tool('train.py', SCR_FC, '--work-dir', tmp_path, *options(shapes, 1, *more), cwd=tmp_path)
    before, after = (
        load_checkpoint(path)['state_dict'] for path in (classifier, tmp_path / 'epoch_1.pth')
    )
    for name, weight in before.items():
        changed = not torch.equal(weight, after[name]) if name[:8] != 'head.fc8' else True
        assert changed == name.startswith('head.'), name


def expect_error(message, *arguments, cwd):
    done = run_tool(*arguments, cwd=cwd, check=False)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert len(lines) == 1 and re.search(message, lines[0]), done.stderr[-2000:]
    assert 'Traceback' not in done.stderr


def test_user_errors_are_one_clear_line(localiser, classifier, shapes, tmp_path):
    checkpoint = localiser[0] / 'epoch_12.pth'
    test = ['test.py', PCR, checkpoint, '--work-dir', tmp_path]
    expect_error(
        r'tta_model.classifiers.0.checkpoint is not set: give the trained net, --cfg-options tta_m',
        *test, '--tta', *test_options(shapes), cwd=tmp_path,
    )  # fmt: skip
    expect_error(
        r"no annotation file 'nowhere/val.json': give yours with --cfg-options DATA_ROOT=FOLDER",
        *test, *test_options('nowhere'), cwd=tmp_path,
    )  # fmt: skip
    expect_error(
        'classifiers.0: .* is of another net: head.fc8.bias',
        *test, '--tta', *test_options(shapes, *member(checkpoint)), cwd=tmp_path,
    )  # fmt: skip
    expect_error(
        'out.npz: the net predicts no posteriors .*--out FILE.pkl',
        *test, '--out', 'out.npz', *test_options(shapes), cwd=tmp_path,
    )  # fmt: skip
    expect_error(
        'the net has a LocalisationHead, which predicts boxes, not classes',
        'predict.py', shapes / 'val/0.png', checkpoint, cwd=tmp_path,
    )  # fmt: skip
    expect_error(
        'the checkpoint is of another net: head.fc8',
        'test.py', PCR, classifier, '--work-dir', tmp_path, *test_options(shapes), cwd=tmp_path,
    )  # fmt: skip


IMAGENET = {
    # name -> (per class, frozen, S, Q, error in the paper)
    'vgg16_scr_fc_s256': (False, True, 256, (256,), 36.4),
    'vgg16_pcr_fc_s256': (True, True, 256, (256,), 34.3),
    'vgg16_pcr_s256': (True, False, 256, (256,), 33.1),
    'vgg16_pcr_s384': (True, False, 384, (384,), 28.2),
    'vgg16_pcr_s384_two_scales': (True, False, 384, (352, 384), 27.5),
    'vgg16_pcr_fusion': (True, False, 384, (256, 352, 384), 26.9),
}


def test_the_family_is_complete():
    found = {path.stem for path in CONFIGS.glob('*_imagenet.py')}
    assert found == {f'{name}_imagenet' for name in IMAGENET}


@pytest.mark.parametrize('name', IMAGENET)
def test_a_config_agrees_with_its_name(name, photo, tmp_path):
    per_class, frozen, s, q, figure = IMAGENET[name]
    path = CONFIGS / f'{name}_imagenet.py'
    assert str(figure) in path.read_text()
    cfg = Config.fromfile(path)
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    assert isinstance(model.head, LocalisationHead) and model.backbone.arch == 'D'
    assert model.head.fc8.out_features == (4000 if per_class else 4)  # Appendix A.1
    assert model.backbone.frozen_stages == (5 if frozen else -1)
    # Every layer but the last comes from the classification net.
    assert cfg.default_hooks.staged_init.layers == [*model.backbone.layer_names, 'fc6', 'fc7']
    assert cfg.optim_wrapper.optimizer.lr == 1e-3
    cv2.imwrite(str(tmp_path / 'photo.png'), photo)
    boxes = np.float32([[20, 30, 120, 130]])
    loaders = cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        for pipeline in [*(loader.dataset.pipeline for loader in loaders), cfg.tta_pipeline]:
            results = dict(img_path=str(tmp_path / 'photo.png'), gt_label=1, gt_bboxes=boxes)
            for step in map(TRANSFORMS.build, pipeline):
                results = step(results)
                if hasattr(step, 'crop_size'):
                    assert step.scale in (s, (s, s)) and step.crop_size == 224
            assert results['data_samples'].gt_bboxes.shape == (1, 4)
    assert tuple(min(view.shape[1:]) for view in results['inputs']) == q
    for one in [*cfg.tta_model.classifiers, *cfg.tta_model.get('localisers', [])]:
        with torch.device('meta'):
            assert MODELS.build(one.config).backbone.arch == 'D'


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('*_animals.py')), ids=lambda path: path.stem)
def test_animals_configs_start_from_their_classification_net(path):
    cfg, classifier = Config.fromfile(path), Config.fromfile(CLASSIFIER)
    # Building a model changes its config in place.
    with torch.device('meta'):
        model, source = (MODELS.build(deepcopy(c.model)) for c in (cfg, classifier))
    if path.stem != 'vgg16_animals':
        layers = cfg.default_hooks.staged_init.layers
        assert layers == [*model.backbone.layer_names, 'fc6', 'fc7']
        rated = deepcopy(classifier.model)
        del rated.backbone['frozen_stages']
        assert cfg.tta_model.classifiers[0].config == rated
        assert cfg.train_dataloader.dataset == classifier.train_dataloader.dataset
    shapes, expected = (
        {n: p.shape for n, p in m.named_parameters() if 'fc8' not in n} for m in (model, source)
    )
    assert shapes == expected
