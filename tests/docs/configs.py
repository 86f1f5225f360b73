"""Tests of the configs, and parts of configs, that pages show."""

import copy
import os
from pathlib import Path

import mmpretrain
import numpy as np
import pytest
import torch
from communication_model.data_paths import annotate, pack_lmdb, pack_tar
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS, MODELS, TRANSFORMS

from tests import preloaded
from tests.checkpoints import source_nets
from tests.conftest import ROOT
from tests.docs.world import NARROW, in_places
from vgg_mm.apis.chain import load_chain
from vgg_mm.checkpoints import load_checkpoint

D_JITTER = 'configs/vgg/vgg16_jitter_imagenet.py'


def changed(base, text):
    """The config ``base`` changed by a page's text, which can use the names of ``base``."""
    cfg = Config.fromfile(ROOT / base)
    names = copy.deepcopy(cfg.to_dict())
    before = dict(names)
    exec(text, names)
    new = {
        name: value
        for name, value in names.items()
        if name != '__builtins__' and value is not before.get(name)
    }
    cfg.merge_from_dict(new)
    return cfg


def is_the_file(text, folder):
    assert text.strip() in (ROOT / D_JITTER).read_text()


def is_part_of_it(text, folder):
    """All values that are shown are in the resolved config."""
    shown = {}
    exec(text, shown)
    del shown['__builtins__']
    resolved = Config.fromfile(ROOT / D_JITTER).to_dict()
    _check_part(shown, resolved)


def _check_part(part, whole):
    for key, value in part.items():
        if isinstance(value, dict):
            _check_part(value, whole[key])
        else:
            assert whole[key] == value, (key, value, whole[key])


def explained(text, folder):
    """The blocks of "A config explained": first the file, then parts of its bases."""
    is_the_file(text, folder) if '_base_' in text else is_part_of_it(text, folder)


def chain(text, folder):
    (folder / 'chain.py').write_text(text)
    stages = load_chain(str(folder / 'chain.py'))
    assert [stage.start for stage in stages] == [
        'random initialisation',
        'vgg11_s256_imagenet, staged',
        'vgg16_s256_imagenet',
    ]


def photos(folder):
    """A folder of class folders, and the relative paths of its photos."""
    top = folder / 'photos' / 'train'
    return str(top), sorted(os.path.relpath(p, top) for p in map(str, top.rglob('*.jpg')))


def tar_shards(text, folder):
    top, names = photos(folder)
    shards = folder / 'data' / 'shards'
    shards.mkdir()
    for number, path in enumerate(map(Path, pack_tar(top, names, str(shards)))):
        path.rename(shards / f'train-{number:06}.tar')
    text = in_places(text).replace('{000000..000146}', '{000000..000000}')
    dataset = build_train_set(text, folder)
    assert type(dataset).__name__ == 'TarShards' and len(dataset) == len(names)


def lmdb(text, folder):
    top, names = photos(folder)
    path, keys = pack_lmdb(top, names, str(folder / 'data'))
    Path(path).rename(folder / 'data' / 'imagenet.lmdb')
    annotate(keys, names, str(folder), 'keys.txt')
    text = in_places(text)
    # The data set needs a pipeline of its own.
    own = "dict(data_root='', pipeline=train_pipeline)"
    dataset = build_train_set(f"{text}train_dataloader['dataset'].update({own})\n", folder)
    assert len(dataset) == len(names)


def build_train_set(text, folder):
    """The training set of net D's config changed by a text; checks its first sample."""
    here = os.getcwd()
    os.chdir(folder)
    try:
        dataset = DATASETS.build(changed(D_JITTER, text).train_dataloader.dataset)
        assert dataset[0]['inputs'].shape == (3, 224, 224)
    finally:
        os.chdir(here)
    return dataset


def pretrained(text, folder):
    """The backbone has the file's weights after its initialisation."""
    cfg = changed(D_JITTER, in_places(text).replace("'torch", f"'{folder}/torch"))
    cfg.merge_from_dict({k: int(v) for k, v in (option.split('=') for option in NARROW)})
    net = MODELS.build(cfg.model)
    net.init_weights()
    source = torch.load(folder / 'torchvision_vgg16.pth', weights_only=True)
    assert torch.equal(net.backbone.conv1_1.weight, source['features.0.weight'])


def protocol(text, folder):
    cfg = changed(D_JITTER, text)
    cfg.merge_from_dict({k: int(v) for k, v in (option.split('=') for option in NARROW)})
    views = [TRANSFORMS.build(step) for step in cfg.tta_pipeline]
    results = dict(img_path=str(folder / 'photo.jpg'))
    for view in views:
        results = view(results)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        tta = MODELS.build(dict(cfg.tta_model, module=cfg.model))
    assert len(results['inputs']) == len(cfg.tta_pipeline[1].scales)
    batch = dict(inputs=[[i] for i in results['inputs']], data_samples=None)
    (answer,) = tta.eval().test_step(batch)
    assert answer.pred_score.sum().item() == pytest.approx(1)


def cached_maps(text, folder):
    """Train a narrow net with it for an epoch."""
    base = ROOT / 'configs/vgg/vgg16_finetune.py'
    (folder / 'maps.py').write_text(f'_base_ = {str(base)!r}\n{text}')
    options = ['DATA_ROOT=photos', 'train_cfg.max_epochs=1']
    command = [str(ROOT / 'tools/train.py'), 'maps.py', '--cfg-options', *options, *NARROW]
    done = preloaded.run(command, folder)
    assert done.returncode == 0 and 'cached maps (val)' in done.stdout + done.stderr, done.stderr


def mmpretrains(text, folder):
    """MMPretrain's config with the model of the page gives the logits of MMPretrain's net."""
    path = Path(mmpretrain.__file__).parent / '.mim/configs/vgg/vgg16_8xb32_in1k.py'
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(Config.fromstring(text, '.py').to_dict())
    cfg.merge_from_dict({k: int(v) for k, v in (option.split('=') for option in NARROW)})
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build({**cfg.model, 'data_preprocessor': cfg.data_preprocessor}).eval()
    theirs, logits = source_nets.mmpretrain_net('vgg16')
    torch.save(dict(state_dict=theirs.state_dict()), folder / 'mmpretrain.pth')
    model.load_state_dict(load_checkpoint(str(folder / 'mmpretrain.pth'))['state_dict'])
    rgb = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    bgr = torch.from_numpy(rgb[..., ::-1].transpose(2, 0, 1).copy())
    with torch.no_grad():
        found = model(**model.data_preprocessor(dict(inputs=bgr[None])))
    torch.testing.assert_close(found, logits(rgb), rtol=1e-4, atol=1e-4)


#: Page#heading -> test of its configs: a function of (text, folder).
CONFIGS = {
    'README.md#a-config-explained': is_the_file,
    'docs/architecture.md#how-to-add-a-test-protocol': protocol,
    'docs/coming_from.md#from-mmpretrain': mmpretrains,
    'docs/configs.md#a-config-explained': explained,
    'docs/finetune.md#in-minutes-on-a-processor': cached_maps,
    'docs/recipe.md#a-chain-of-your-own': chain,
    'benchmarks/scaling.md#the-data-path': lmdb,
    'docs/training.md#the-data': tar_shards,
    'docs/weights.md#using': pretrained,
}
