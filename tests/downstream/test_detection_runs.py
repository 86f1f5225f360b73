"""Detectors are trained and tested with this package's tools and plain MMDetection, on 8 photos."""

import json
import pickle
import subprocess
import sys
from types import SimpleNamespace

import cv2
import pytest
import torch

from tests.checkpoints.source_nets import torchvision_net
from tests.conftest import run_tool
from tests.downstream import need

need('mmdet')

from mmdet.datasets.samplers import AspectRatioBatchSampler  # noqa: E402
from mmengine.config import Config  # noqa: E402

from tests.downstream import boxes  # noqa: E402
from vgg_mm.apis.config import check_data_folders, replace_data_root  # noqa: E402
from vgg_mm.checkpoints import load_checkpoint  # noqa: E402
from vgg_mm.datasets import SeededDataset  # noqa: E402
from vgg_mm.datasets.samplers import ResumableSampler  # noqa: E402
from vgg_mm.engine import ClassCheckHook, ClassifierInitHook  # noqa: E402

FASTER_RCNN = boxes.CONFIGS / 'faster_rcnn_vgg16_animals.py'
SSD = boxes.CONFIGS / 'ssd300_vgg16_animals.py'


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return boxes.write_boxes(tmp_path_factory.mktemp('data') / 'squares')


@pytest.fixture(scope='module')
def classifier_file(tmp_path_factory):
    """File of a narrow VGG-16 from torchvision."""
    net, _ = torchvision_net('vgg16')
    path = tmp_path_factory.mktemp('weights') / 'vgg16.pth'
    torch.save(net.state_dict(), path)
    return path


def short(data, epochs, narrow, *options):
    return [
        '--cfg-options', f'DATA_ROOT={data}', f'train_cfg.max_epochs={epochs}',
        'train_cfg.val_interval=1', 'default_hooks.logger.interval=1', 'randomness.seed=0',
        'train_dataloader.num_workers=0', 'val_dataloader.num_workers=0',
        'test_dataloader.num_workers=0', 'train_dataloader.batch_size=4',
        *boxes.as_options(narrow), *options,
    ]  # fmt: skip


def weights(path):
    return load_checkpoint(path)['state_dict']


@pytest.fixture(scope='module')
def two_epochs(data, classifier_file, tmp_path_factory):
    """Work directory and output of an uninterrupted training of Faster R-CNN."""
    folder = tmp_path_factory.mktemp('two_epochs')
    init = f'default_hooks.classifier_init.checkpoint={classifier_file}'
    options = short(data, 2, boxes.NARROW_FASTER_RCNN, init)
    done = run_tool('train.py', FASTER_RCNN, '--work-dir', 'run', *options, cwd=folder)
    return folder / 'run', done.stdout


def test_training_begins_with_the_classifier(two_epochs):
    work_dir, output = two_epochs
    assert 'roi_head.bbox_head.fc6 <- fc6, kept (16, 1568)' in output
    assert 'backbone.conv5_3 <- conv5_3, copied (32, 32, 3, 3)' in output
    assert 'rpn_head.rpn_conv: as initialised' in output and 'not used: fc8' in output
    # torchvision's weights expect standardised RGB, this config uses mean-subtracted BGR / 58.
    assert 'pre-processing differs' in output
    (scalars,) = work_dir.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in scalars.read_text().splitlines()]
    assert {'loss', 'loss_rpn_cls', 'loss_rpn_bbox', 'loss_cls', 'loss_bbox'} <= rows[0].keys()
    assert any('coco/bbox_mAP' in row for row in rows)
    assert (work_dir / 'last_checkpoint').read_text().endswith('epoch_2.pth')


def test_detectors_keep_the_default_memory_format(two_epochs):
    """RoIAlign needs the default format; other nets are trained in channels_last on the CPU."""
    trained = weights(two_epochs[0] / 'epoch_2.pth')
    assert trained['rpn_head.rpn_conv.weight'].is_contiguous()


def test_a_resumed_run_ends_with_the_same_weights(two_epochs, data, classifier_file, tmp_path):
    init = f'default_hooks.classifier_init.checkpoint={classifier_file}'
    for epochs in (1, 2):
        options = short(data, epochs, boxes.NARROW_FASTER_RCNN, init)
        done = run_tool(
            'train.py', FASTER_RCNN, '--resume', '--work-dir', 'run', *options, cwd=tmp_path
        )
    assert 'resumed epoch: 1, iter: 2' in done.stdout and 'initialised from' not in done.stdout
    whole, resumed = (weights(d / 'epoch_2.pth') for d in (two_epochs[0], tmp_path / 'run'))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_testing_a_checkpoint(two_epochs, data, tmp_path):
    checkpoint = two_epochs[0] / 'epoch_2.pth'
    options = short(data, 2, boxes.NARROW_FASTER_RCNN)
    done = run_tool(
        'test.py', FASTER_RCNN, checkpoint, '--out', 'found.pkl', '--show-dir', 'pictures',
        '--work-dir', 'test', *options, cwd=tmp_path,
    )  # fmt: skip
    assert 'coco/bbox_mAP' in done.stdout
    pictures = sorted((tmp_path / 'pictures').iterdir())
    assert [path.name for path in pictures] == ['0.png', '1.png', '2.png']
    assert cv2.imread(str(pictures[0])) is not None
    with open(tmp_path / 'found.pkl', 'rb') as file:
        found = pickle.load(file)
    assert [sample['img_id'] for sample in found] == [0, 1, 2]
    assert all(sample['pred_instances']['bboxes'].shape[1] == 4 for sample in found)
    out = ['--out', 'found.npz']
    done = run_tool('test.py', FASTER_RCNN, checkpoint, *out, *options, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().endswith('posteriors are of classifiers; for mmdet the file must '
                                        'end in .pkl')  # fmt: skip


PLAIN = """
from mmengine.config import Config
from mmengine.runner import Runner

for epochs in (1, 2):
    cfg = Config.fromfile('ssd.py')
    cfg.merge_from_dict(dict(work_dir=f'plain_{epochs}', train_cfg=dict(max_epochs=epochs)))
    if epochs == 2:
        cfg.merge_from_dict(dict(resume=True, load_from='plain_1/epoch_1.pth'))
    Runner.from_cfg(cfg).train()
"""


def test_plain_mmdetection_trains_and_resumes(data, classifier_file, tmp_path):
    """MMDetection's own tools/train.py runs the config thanks to its custom_imports."""
    cfg = Config.fromfile(SSD)
    replace_data_root(cfg, cfg.DATA_ROOT, str(data))
    cfg.merge_from_dict(boxes.NARROW_SSD)
    cfg.default_hooks.classifier_init.checkpoint = str(classifier_file)
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[name].update(num_workers=0, persistent_workers=False)
    cfg.train_cfg.val_interval = 1
    cfg.dump(tmp_path / 'ssd.py')
    done = subprocess.run(
        [sys.executable, '-c', PLAIN], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (next(tmp_path.glob(f'plain_{i}/*/*.log')).read_text() for i in (1, 2))
    # fc6 has 16 filters and 7 rows in torchvision's narrow net, 4 filters and 3 rows in this SSD.
    assert 'backbone.fc6 <- fc6, folded, sub-sampled (every: filter 4, row and column 3)' in first
    assert 'coco/bbox_mAP' in first
    assert 'resumed epoch: 1' in second and 'initialised from' not in second
    assert (tmp_path / 'plain_2/epoch_2.pth').is_file()


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(root='nowhere'), "no annotation file 'nowhere/train.json': .*DATA_ROOT=FOLDER"),
        (dict(prefix='photos/'), "no data folder '.*/photos/': give yours with"),
        (dict(classes=('raccoon', 'fox')), "has the classes 'raccoon', 'kangaroo', and not 'fox'"),
        (dict(classes=None), "not 'person': name them in the config's data sets, metainfo=dict"),
        (dict(ann_file='train/0.png'), 'no annotation file of COCO'),
        (dict(ann_file='images.json'), "no annotation file of COCO's form: it has no list 'cat"),
    ],
)
def test_wrong_data(change, message, data, tmp_path):
    cfg = Config.fromfile(FASTER_RCNN)
    dataset = cfg.train_dataloader.dataset
    dataset.data_root = change.get('root', str(data))
    if 'prefix' in change:
        dataset.data_prefix.img = change['prefix']
    if 'classes' in change:
        dataset.metainfo = change['classes'] and dict(classes=change['classes'])
    if change.get('ann_file') == 'images.json':
        dataset.ann_file = str(tmp_path / 'images.json')
        (tmp_path / 'images.json').write_text('{"images": []}')
    elif 'ann_file' in change:
        dataset.ann_file = change['ann_file']
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        check_data_folders(cfg, ['train_dataloader'])
    assert '\n' not in str(error.value)


def test_data_inside_other_data_sets_is_checked(data):
    cfg = Config.fromfile(FASTER_RCNN)
    inner = cfg.train_dataloader.dataset
    inner.data_root = 'nowhere'
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', times=2, dataset=inner)
    with pytest.raises(FileNotFoundError, match='no annotation file'):
        check_data_folders(cfg, ['train_dataloader'])
    replace_data_root(cfg, 'nowhere', str(data))
    check_data_folders(cfg, ['train_dataloader'])


def test_data_root_reaches_the_evaluator():
    cfg = Config.fromfile(FASTER_RCNN)
    replace_data_root(cfg, cfg.DATA_ROOT, '/photos')
    assert cfg.val_evaluator.ann_file == cfg.test_evaluator.ann_file == '/photos/val.json'
    assert {cfg[f'{name}_dataloader'].dataset.data_root for name in ('train', 'val', 'test')} == {
        '/photos'
    }


def runner_for(model, classes=boxes.CLASSES):
    warnings = []
    logger = SimpleNamespace(info=warnings.append, warning=warnings.append)
    loader = SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=classes)))
    return SimpleNamespace(
        model=model, iter=0, logger=logger, train_dataloader=loader, val_loop=None
    )  # fmt: skip


@pytest.mark.parametrize(
    'name, path',
    [('faster_rcnn_vgg16_animals', 'roi_head.bbox_head'), ('ssd300_vgg16_animals', 'bbox_head')],
)
def test_head_for_another_number_of_classes(name, path):
    narrow = boxes.NARROW_SSD if 'ssd' in name else boxes.NARROW_FASTER_RCNN
    model = boxes.detector(name, narrow)
    ClassCheckHook().before_train(runner_for(model))
    fix = f'the head is for 2: --cfg-options model.{path}.num_classes=3'
    with pytest.raises(ValueError, match=fix):
        ClassCheckHook().before_train(runner_for(model, ('a', 'b', 'c')))


def foreign_weights(kind):
    if kind == 'no VGG':
        return {'layer1.0.conv1.weight': torch.rand(4, 3, 3, 3), 'fc.weight': torch.rand(2, 4)}
    net, _ = torchvision_net('vgg16_bn' if kind == 'norms' else 'vgg16')
    state = net.state_dict()
    if kind == 'narrower':
        state = {name: tensor[: len(tensor) // 2] for name, tensor in state.items()}
        state = {n: t if n == 'features.0.weight' or t.ndim < 4 else t[:, : t.shape[1] // 2]
                 for n, t in state.items()}  # fmt: skip
    if kind == 'another fc6':
        state['classifier.0.weight'] = state['classifier.0.weight'][:15]
        state['classifier.0.bias'] = state['classifier.0.bias'][:15]
        state['classifier.3.weight'] = state['classifier.3.weight'][:, :15]
    return state


@pytest.mark.parametrize('name', ['faster_rcnn_vgg16_animals', 'ssd300_vgg16_animals'])
@pytest.mark.parametrize(
    'kind, message',
    [
        ('narrower', r'conv1_1.weight is \(2, 3, 3, 3\), the model expects \(4, 3, 3, 3\)'),
        ('norms', 'has batch norms, the model has none: give the backbone norm_cfg='),
        ('another fc6', 'does not fit the model: fc6.weight is'),
        ('no VGG', 'layer1.0.conv1.weight'),
    ],
)
def test_classifiers_that_do_not_fit(kind, message, name, tmp_path):
    narrow = boxes.NARROW_SSD if 'ssd' in name else boxes.NARROW_FASTER_RCNN
    model = boxes.detector(name, narrow)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    torch.save(foreign_weights(kind), tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=message) as error:
        ClassifierInitHook(str(tmp_path / 'other.pth')).before_train(runner_for(model))
    assert '\n' not in str(error.value) and 'other.pth' in str(error.value)
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())


def test_batches_of_one_shape(data):
    """mmdet's batch sampler gets the image shapes from this package's data set."""

    class Shapes:
        metainfo = {}
        sizes = [(75, 111), (93, 67)] * 5

        def __len__(self):
            return len(self.sizes)

        def get_data_info(self, index):
            return dict(zip(('height', 'width'), self.sizes[index]))

    sampler = ResumableSampler(SeededDataset(Shapes()), shuffle=True, seed=0)
    batches = list(AspectRatioBatchSampler(sampler, batch_size=2))
    assert sorted(place[-1] for batch in batches for place in batch) == list(range(10))
    mixed = [batch for batch in batches if len({place[-1] % 2 for place in batch}) > 1]
    assert len(mixed) <= 1  # the remainder at the end
