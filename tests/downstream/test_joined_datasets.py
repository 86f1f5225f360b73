"""Joined data sets such as VOC 2007 and 2012: what may differ between them and what may not."""

import json
from types import SimpleNamespace

import pytest

from tests.conftest import run_tool
from tests.downstream import need

need('mmdet')
need('mmseg')

from mmengine.config import Config, ConfigDict  # noqa: E402
from mmengine.registry import DATASETS, DefaultScope  # noqa: E402

from tests.downstream import boxes, masks  # noqa: E402
from vgg_mm.apis.downstream import join_datasets  # noqa: E402
from vgg_mm.checkpoints import load_checkpoint, recorded_classes  # noqa: E402
from vgg_mm.engine import ClassCheckHook  # noqa: E402


def part(year, split, root, pipeline, classes=boxes.CLASSES, **settings):
    return dict(
        type='VOCDataset', data_root=str(root), ann_file=f'VOC{year}/ImageSets/Main/{split}.txt',
        data_prefix=dict(sub_data_root=f'VOC{year}/'), metainfo=dict(classes=classes),
        pipeline=pipeline, **settings,
    )  # fmt: skip


def voc_config(root, second=boxes.CLASSES):
    """A user's config for VOC07+12 without ``ignore_keys``; ``second`` are the classes of 2012."""
    cfg = boxes.config('faster_rcnn_vgg16_animals', boxes.NARROW_FASTER_RCNN)
    pipeline, test_pipeline = cfg.train_pipeline, cfg.test_pipeline
    joined = dict(
        type='ConcatDataset',
        datasets=[
            part(year, 'trainval', root, pipeline, classes)
            for year, classes in zip(boxes.YEARS, (boxes.CLASSES, second))
        ],
    )
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', times=1, dataset=joined)
    cfg.val_dataloader.dataset = part('2007', 'test', root, test_pipeline, test_mode=True)
    cfg.test_dataloader.dataset = cfg.val_dataloader.dataset
    cfg.val_evaluator = cfg.test_evaluator = dict(type='VOCMetric', eval_mode='11points')
    for name in ('train', 'val', 'test'):
        cfg[f'{name}_dataloader'].update(num_workers=0, persistent_workers=False)
    cfg.train_dataloader.batch_size = 4
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    return cfg


def test_voc_of_two_years(tmp_path):
    """Training and testing work; the checkpoint has the classes for MMDetection's inferencers."""
    voc_config(boxes.write_voc(tmp_path / 'VOCdevkit')).dump(tmp_path / 'own.py')
    done = run_tool('train.py', 'own.py', '--work-dir', 'run', cwd=tmp_path)
    assert 'pascal_voc/mAP' in done.stdout and 'Epoch(train) [1][1/1]' in done.stdout
    assert (tmp_path / 'run/best_pascal_voc_mAP_epoch_1.pth').is_file()
    checkpoint = load_checkpoint(tmp_path / 'run/epoch_1.pth')
    assert recorded_classes(checkpoint) == boxes.CLASSES
    assert isinstance(checkpoint['meta']['dataset_meta'], dict)
    done = run_tool('test.py', 'own.py', 'run/epoch_1.pth', cwd=tmp_path)
    assert 'pascal_voc/mAP' in done.stdout


@pytest.mark.parametrize(
    'name, narrow',
    [
        ('faster_rcnn_vgg16_voc0712', boxes.NARROW_FASTER_RCNN),
        ('ssd300_vgg16_voc0712', boxes.NARROW_SSD),
    ],
)
def test_the_shipped_configs(name, narrow, tmp_path):
    """Two iterations with VOC's folders and its twenty classes, as documented."""
    boxes.write_voc(tmp_path / 'VOCdevkit', ('dog', 'person'))
    options = [
        '--cfg-options', 'DATA_ROOT=VOCdevkit', 'train_cfg.max_epochs=1',
        'train_cfg.val_interval=1', 'train_dataloader.batch_size=2',
        'default_hooks.logger.interval=1', 'default_hooks.classifier_init.checkpoint=None',
        *boxes.as_options(narrow),
    ]  # fmt: skip
    config = boxes.CONFIGS / f'{name}.py'
    done = run_tool('train.py', config, '--work-dir', 'run', *options, cwd=tmp_path)
    assert 'Epoch(train) [1][2/2]' in done.stdout and 'pascal_voc/mAP' in done.stdout
    assert (tmp_path / 'run/best_pascal_voc_mAP_epoch_1.pth').is_file()
    images = 32 if 'ssd' in name else 1
    assert f'is for {images} images a step, and this run has 2' in done.stdout
    done = run_tool('test.py', config, 'run/epoch_1.pth', *options, cwd=tmp_path)
    assert 'pascal_voc/mAP' in done.stdout
    photos = tmp_path / 'VOCdevkit/VOC2007/JPEGImages'
    done = run_tool('predict.py', photos, 'run', '--out', 'found.json', cwd=tmp_path)
    assert len(json.loads((tmp_path / 'found.json').read_text())['predictions']) == 4


def test_voc_of_other_classes(tmp_path):
    root = boxes.write_voc(tmp_path / 'VOCdevkit')
    voc_config(root, boxes.CLASSES[::-1]).dump(tmp_path / 'own.py')
    done = run_tool('train.py', 'own.py', '--work-dir', 'run', cwd=tmp_path, check=False)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith('error: the training set joins data sets of different classes: in ')
    assert 'VOC2012/ImageSets/Main/trainval.txt the same classes in another order; give all' in line


def runner_for(dataset):
    model = boxes.detector('faster_rcnn_vgg16_animals', boxes.NARROW_FASTER_RCNN)
    return SimpleNamespace(
        model=model, train_dataloader=SimpleNamespace(dataset=dataset), val_loop=None
    )


def test_metadata_in_mmdetections_tools(tmp_path):
    """In MMDetection's own tools, the configs' hook compares the sets' metadata and unifies it."""
    cfg = voc_config(boxes.write_voc(tmp_path))
    with DefaultScope.overwrite_default_scope('mmdet'):
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
    kinds = [one['dataset_type'] for one in dataset.metainfo]
    assert kinds == ['VOC2007', 'VOC2012']
    ClassCheckHook().before_train(runner_for(dataset))
    assert dataset.metainfo['classes'] == dataset.dataset.metainfo['classes'] == boxes.CLASSES
    with DefaultScope.overwrite_default_scope('mmdet'):
        other = voc_config(tmp_path, ('fox', 'kangaroo')).train_dataloader.dataset
        dataset = DATASETS.build(other)
    with pytest.raises(ValueError, match="1 class.es. missing, e.g. 'raccoon'; give all of them"):
        ClassCheckHook().before_train(runner_for(dataset))


def test_metadata_of_several_sets_is_kept_for_their_evaluator(tmp_path):
    """``MultiDatasetsEvaluator`` needs the metadata of each set."""
    cfg = voc_config(tmp_path)
    joined = ConfigDict(type='ConcatDataset', datasets=[])
    cfg.test_dataloader.dataset = joined
    cfg.test_evaluator = dict(type='MultiDatasetsEvaluator', dataset_prefixes=['a', 'b'])
    join_datasets(cfg)
    assert 'ignore_keys' not in cfg.test_dataloader.dataset
    assert 'dataset_type' in cfg.train_dataloader.dataset.dataset.ignore_keys
    given = ConfigDict(type='ConcatDataset', ignore_keys=['dataset_type'], datasets=[])
    cfg.train_dataloader.dataset = given
    join_datasets(cfg)
    assert cfg.train_dataloader.dataset.ignore_keys == ['dataset_type']


def test_segmentation_data_with_another_palette(tmp_path):
    """MMSegmentation rejects different palettes unless they are ignored."""
    data = masks.write_streets(tmp_path / 'data')
    cfg = Config.fromfile(masks.CONFIGS / 'fcn32s_vgg16_camvid.py')
    one = dict(cfg.train_dataloader.dataset, data_root=str(data))
    palette = [[1, 2, i] for i in range(len(one['metainfo']['classes']))]
    other = dict(one, metainfo=dict(one['metainfo'], palette=palette))
    cfg.train_dataloader.dataset = dict(type='ConcatDataset', datasets=[one, other])
    with DefaultScope.overwrite_default_scope('mmseg'):
        with pytest.raises(ValueError, match='does not match meta information of the first'):
            DATASETS.build(cfg.train_dataloader.dataset)
        join_datasets(cfg)
        assert len(DATASETS.build(cfg.train_dataloader.dataset)) == 8
