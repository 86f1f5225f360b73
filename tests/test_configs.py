"""Every config builds, and agrees with its name."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS, TRANSFORMS

from tests.conftest import ROOT
from tests.models.test_vgg import PARAMETERS
from vgg_mm.apis.config import print_config, replace_data_root
from vgg_mm.apis.test_results import describe
from vgg_mm.apis.tta import limit_batches, use_test_time_augmentation
from vgg_mm.evaluation.paper_results import TABLE_3, TABLE_4, TABLE_5
from vgg_mm.models.tta import PaperTTA

CONFIGS = sorted((ROOT / 'configs/vgg').glob('*.py'))
IMAGENET = [path for path in CONFIGS if path.stem.endswith('_imagenet')]
ARCH = {
    'vgg11': 'A',
    'vgg11lrn': 'A-LRN',
    'vgg13': 'B',
    'vgg135x5': 'B-5x5',
    'vgg16c': 'C',
    'vgg16': 'D',
    'vgg19': 'E',
}
SCALES = {'s256': (256, 256), 's384': (384, 384), 'jitter': (256, 512)}
#: The test scales of Section 3.2 for each training scale.
TEST_SCALES = {'s256': (224, 256, 288), 's384': (352, 384, 416), 'jitter': (256, 384, 512)}


@pytest.mark.parametrize(
    'name', ['vgg16_jitter_imagenet', 'vgg16_finetune', 'vgg16_scr_fc_animals']
)
def test_a_config_as_one_file_is_the_same(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # a folder without the bases
    print_config(name, 'mine.py', ['DATA_ROOT=here'])
    assert capsys.readouterr().out == 'written: mine.py\n'
    expected = Config.fromfile(next(ROOT.glob(f'configs/**/{name}.py')))
    replace_data_root(expected, expected.DATA_ROOT, 'here')
    expected.DATA_ROOT = 'here'
    assert Config.fromfile('mine.py').to_dict() == expected.to_dict()
    text = Path('mine.py').read_text()
    Path('mine.py').write_text(text.replace("DATA_ROOT = 'here'", "DATA_ROOT = 'there'"))
    replace_data_root(expected, 'here', 'there')
    expected.DATA_ROOT = 'there'
    assert Config.fromfile('mine.py').to_dict() == expected.to_dict()
    print_config('mine.py')
    assert capsys.readouterr().out.strip() == (tmp_path / 'mine.py').read_text().strip()
    (tmp_path / 'own.py').write_text("_base_ = 'mine.py'\nwork_dir = 'there'\n")
    print_config('own.py', 'own_whole.py')
    assert Config.fromfile('own_whole.py').work_dir == 'there', 'a setting of its own stays'
    with pytest.raises(FileExistsError, match=r'^mine\.py is there already: give another name'):
        print_config(name, 'mine.py')
    with pytest.raises(ValueError, match=r'^out mine\.txt: a config ends in \.py'):
        print_config(name, 'mine.txt')


def test_the_family_is_complete():
    assert {p.stem for p in IMAGENET} == {f'{n}_{s}_imagenet' for n in ARCH for s in SCALES}
    for path in IMAGENET:
        assert len(path.read_text().splitlines()) <= 12


@pytest.mark.parametrize('path', IMAGENET, ids=lambda path: path.stem)
def test_a_config_agrees_with_its_name(path):
    cfg = Config.fromfile(path)
    net, scale, _ = path.stem.split('_')
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    arch = ARCH[net]
    assert model.backbone.arch == arch
    if arch in PARAMETERS:
        assert sum(p.numel() for p in model.parameters()) == PARAMETERS[arch]
    jitter = TRANSFORMS.build(cfg.train_dataloader.dataset.pipeline[1])
    assert jitter.scale == SCALES[scale] and jitter.crop_size == 224
    assert TRANSFORMS.build(cfg.tta_pipeline[1]).scales == TEST_SCALES[scale]
    assert cfg.tta_model.protocol == 'dense+multi_crop'
    assert cfg.optim_wrapper.optimizer.lr == 0.01
    assert cfg.optim_wrapper.optimizer.weight_decay == 5e-4


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_pipelines_and_protocol_build(path, photo, tmp_path):
    import cv2

    cfg = Config.fromfile(path)
    cv2.imwrite(str(tmp_path / 'photo.png'), photo)
    sample = dict(img_path=str(tmp_path / 'photo.png'), gt_label=1)
    pipelines = [
        cfg.train_dataloader.dataset.pipeline,
        cfg.test_dataloader.dataset.pipeline,
        cfg.tta_pipeline,
    ]
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        for pipeline in pipelines:
            results = dict(sample)
            for step in pipeline:
                results = TRANSFORMS.build(step)(results)
            assert results['data_samples'].gt_label.item() == 1
        with torch.device('meta'):
            model = MODELS.build(dict(cfg.tta_model, module=cfg.model))
    sides = [min(image.shape[1:]) for image in results['inputs']]
    assert sides == list(TRANSFORMS.build(cfg.tta_pipeline[1]).scales)
    assert isinstance(model, PaperTTA)


@pytest.mark.parametrize(
    'row, tta_cfg',
    [(row, 'dense_one_scale') for row in TABLE_3]
    + [(row, 'dense') for row in TABLE_4]
    + [(row, row.protocol.replace('+', '_')) for row in TABLE_5],
    ids=str,
)
def test_every_row_of_the_papers_tables_has_a_config(row, tta_cfg):
    """In Tables 3 to 5, the config's name gives net and S, --tta-cfg gives Q and protocol."""
    net = next(name for name, arch in ARCH.items() if arch == row.net)
    scale = next(name for name, scale in SCALES.items() if scale == row.scale)
    cfg = Config.fromfile(ROOT / f'configs/vgg/{net}_{scale}_imagenet.py')
    use_test_time_augmentation(cfg, tta_cfg)
    found = describe(cfg)
    assert (found['net'], found['scale'], found['width']) == (row.net, row.scale, 64)
    assert (found['test_scales'], found['protocols']) == (row.test_scales, [row.protocol])


def test_the_default_is_the_last_column_of_table_5():
    cfg = Config.fromfile(ROOT / 'configs/vgg/vgg16_jitter_imagenet.py')
    use_test_time_augmentation(cfg)
    assert describe(cfg)['protocols'] == [TABLE_5[2].protocol]
    assert describe(cfg)['test_scales'] == TABLE_5[2].test_scales


def test_batches_are_small_without_a_gpu(monkeypatch):
    """Net D takes many seconds per image; a batch of 64 would show no progress for half an hour."""
    found = []
    for protocol, gpu in (('all', False), ('dense', False), ('all', True)):
        cfg = Config.fromfile(ROOT / 'configs/vgg/vgg16_jitter_imagenet.py')
        monkeypatch.setattr(torch.cuda, 'is_available', lambda gpu=gpu: gpu)
        use_test_time_augmentation(cfg, protocol)
        limit_batches(cfg)
        found.append(cfg.test_dataloader.batch_size)
    assert found == [1, 4, 64]


@pytest.mark.parametrize(
    'path', sorted((ROOT / 'configs/downstream').glob('*/*.py')), ids=lambda path: path.stem
)
def test_published_recipes_need_fc6_and_fc7(path):
    """Configs that start from a classifier require fc6 and fc7; those for small data start from a
    file of convolutions."""
    hook = Config.fromfile(path).default_hooks.classifier_init
    if hook.checkpoint is not None:  # FCN-16s and FCN-8s start from another FCN
        assert hook.get('require_fc', False) != hook.checkpoint.endswith('_notop.h5')


def test_only_the_papers_preprocessing():
    cfg = Config.fromfile(IMAGENET[0])
    preprocessor = MODELS.build(cfg.model.data_preprocessor)
    bgr = torch.full((1, 3, 2, 2), 100, dtype=torch.uint8)
    bgr[:, 0] = 50
    rgb = preprocessor(dict(inputs=bgr))['inputs'][0, :, 0, 0]
    assert rgb.tolist() == pytest.approx([100 - 123.68, 100 - 116.779, 50 - 103.939], abs=1e-4)
