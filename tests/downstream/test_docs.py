"""The code blocks of the pages on detectors and segmentors."""

import inspect
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config, ConfigDict

from tests.conftest import ROOT
from tests.docs.blocks import BASH, CONSOLE, PYTHON, is_downstream, pages_with
from tests.docs.configs import changed
from tests.docs.pages import run_page
from tests.docs.world import make_world
from tests.downstream import boxes, masks, need

need('mmdet')
need('mmseg')

import mmdet  # noqa: E402
from mmengine.registry import HOOKS, MODELS, DefaultScope  # noqa: E402

from tests.downstream import test_segmentation_runs  # noqa: E402

FASTER_RCNN = 'configs/_base_/downstream/detection/models/faster_rcnn.py'


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp('world')
    make_world(folder)
    boxes.write_boxes(folder / 'boxes')
    # MMDetection's data sets need the fields of these annotations.
    shutil.rmtree(folder / 'animals')
    (folder / 'animals').symlink_to('boxes')
    masks.write_streets(folder / 'streets')
    return folder


def hook(text, folder):
    parts = {}
    exec(text, parts)
    (found,) = parts['custom_hooks']
    assert type(HOOKS.build(found)).__name__ == 'ClassifierInitHook'


def detector(text, folder):
    """Build Faster R-CNN from this package's base, or SSD from MMDetection's own config."""
    base = FASTER_RCNN
    if 'SSD' in text:
        base = Path(mmdet.__file__).parent / '.mim/configs/ssd/ssd300_coco.py'
        if not base.is_file():
            pytest.skip("mmdet's configs are not installed")
    cfg = own_config(base, text, folder)
    with DefaultScope.overwrite_default_scope('mmdet'), torch.device('meta'):
        net = MODELS.build(ConfigDict(cfg.model))
    assert type(net.bbox_head if 'SSD' in text else net.roi_head.bbox_head).__module__.startswith(
        'vgg_mm.'
    )


def other_classes(text, folder):
    """Build a config that stands beside the shipped ones."""
    (folder / 'own.py').write_text(text.replace("'./", f"'{boxes.CONFIGS}/"))
    cfg = Config.fromfile(folder / 'own.py')
    with DefaultScope.overwrite_default_scope('mmdet'), torch.device('meta'):
        net = MODELS.build(ConfigDict(cfg.model))
    classes = {cfg[f'{name}_dataloader'].dataset.metainfo.classes for name in ('train', 'test')}
    head = net.bbox_head if hasattr(net, 'bbox_head') else net.roi_head.bbox_head
    assert {len(names) for names in classes} == {head.num_classes}
    roots = {cfg[f'{name}_dataloader'].dataset.data_root for name in ('train', 'val', 'test')}
    assert roots == {cfg.DATA_ROOT} and cfg.test_evaluator.ann_file.startswith(cfg.DATA_ROOT)


def own_config(base, text, folder):
    """The config that a reader would write: the page's text on top of a base."""
    if base == FASTER_RCNN and '_delete_' not in text:
        return changed(base, text)
    (folder / 'own.py').write_text(f'_base_ = [{str(base)!r}]\n{text}')
    return Config.fromfile(folder / 'own.py')


def elsewhere(text, folder):
    """Another test takes these from the page and builds them."""
    source = inspect.getsource(test_segmentation_runs.examples)
    assert 'docs/segmentation.md' in source
    assert text in [f'{example}' for example in test_segmentation_runs.examples()]


#: Page#heading -> function that checks its configs.
CONFIGS = {
    'docs/downstream.md#a-classifiers-weights': hook,
    'docs/downstream.md#your-own-photos-from-the-first-line-to-the-last': other_classes,
    'docs/downstream.md#other-classes': other_classes,
    'docs/downstream.md#in-your-own-config': detector,
    'docs/segmentation.md#in-your-own-config': elsewhere,
}
RUNNABLE = pages_with(lambda b: b.language in (BASH, CONSOLE, PYTHON) and is_downstream(b))


@pytest.mark.parametrize('page', RUNNABLE)
def test_every_block_runs(page, world, tmp_path):
    (tmp_path / 'folder' / 'data').mkdir(parents=True)
    for name in ('boxes', 'streets'):
        (tmp_path / 'folder' / 'data' / name).symlink_to(world / name)
    (tmp_path / 'folder' / 'FILE').symlink_to(world / 'torchvision_vgg16.pth')
    run_page(RUNNABLE[page], world, tmp_path, CONFIGS)


def test_the_expected_pages_are_run():
    pages = {'README.md', 'docs/downstream.md', 'docs/segmentation.md'}
    assert set(RUNNABLE) >= {*pages, 'docs/notebooks/detector.ipynb'}
    assert (ROOT / FASTER_RCNN).is_file()
