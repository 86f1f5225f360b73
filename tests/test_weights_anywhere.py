"""Weights of every library by every way into a classifier: the library's logits, or one line.

``python -m pytest -s tests/test_weights_anywhere.py`` prints the table: in programs of others (all
that MMPretrain's own tools do is ``import vgg_mm`` and mmengine's calls), and in this package's.
"""

import os
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from pickle import UnpicklingError

import mmpretrain
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner, load_checkpoint
from mmpretrain import get_model
from mmpretrain.apis import init_model
from mmpretrain.registry import MODELS

from tests.checkpoints.source_nets import NARROW
from tests.checkpoints.weight_files import LIBRARIES, NOT_PYTORCH, table, write_files
from tests.conftest import A_DIGITS, ROOT, short_run
from vgg_mm.checkpoints import loading_safely, read_by_name

CLASSIFIER = dict(
    type='ImageClassifier',
    backbone=dict(type='vgg_mm.VGG', arch='D', base_channels=NARROW.widths[0]),
    head=dict(
        type='vgg_mm.ConvHead',
        num_classes=NARROW.classes,
        in_channels=NARROW.widths[-1],
        fc_channels=NARROW.fc,
    ),
)
PROGRAMS = ("others' programs", "this package's tools")


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp('files'))


@pytest.fixture(scope='module')
def rgb():
    return np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)


@pytest.fixture(scope='module')
def expected(files, rgb):
    """The libraries' own logits."""
    return {library: file.logits(rgb) for library, file in files.items()}


@pytest.fixture(scope='module')
def cells():
    """What came out, printed at the end."""
    found = {}
    yield found
    for program in PROGRAMS:
        print(f'\n{table(program, list(WAYS), LIBRARIES, found.get(program, {}))}')


def classifier(init=None, **parts):
    config = Config(dict(model=CLASSIFIER)).model
    for part, init_cfg in {**parts, **({'': init} if init else {})}.items():
        (config[part] if part else config)['init_cfg'] = dict(type='Pretrained', **init_cfg)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(config)


def pretrained(path, tmp_path, prefix=None):
    prefixes = dict(backbone=prefix, head=prefix and 'head')
    inits = {part: dict(checkpoint=path, prefix=one) for part, one in prefixes.items()}
    model = classifier(**inits)
    model.init_weights()
    return model


def pretrained_model(path, tmp_path):
    model = classifier(init=dict(checkpoint=path))
    model.init_weights()
    return model


def runner(tmp_path, **kwargs):
    return Runner(
        model=classifier(), work_dir=str(tmp_path), experiment_name=f'x{time.time_ns()}', **kwargs
    )


def load_from(path, tmp_path):
    run = runner(tmp_path, load_from=path)
    run.load_or_resume()  # what Runner.train does
    return run.model


def runner_load_checkpoint(path, tmp_path):
    run = runner(tmp_path)
    run.load_checkpoint(path)
    return run.model


def mmengines_load_checkpoint(path, tmp_path):
    model = classifier()
    load_checkpoint(model, path, map_location='cpu')
    return model


def state_dict_of(path):
    loaded = read_by_name(path)
    return loaded.get('state_dict', loaded)


def whole_state_dict(path, tmp_path):
    model = classifier()
    model.load_state_dict(state_dict_of(path))
    return model


def state_dict_of_parts(path, tmp_path):
    model = classifier()
    for part in (model.backbone, model.head):
        part.load_state_dict(state_dict_of(path))
    return model


#: Functions of a file's name that give a net with its weights.
WAYS = {
    'Pretrained': pretrained,
    "Pretrained, prefix='backbone.'": lambda *args: pretrained(*args, prefix='backbone.'),
    "Pretrained, prefix='backbone'": lambda *args: pretrained(*args, prefix='backbone'),
    'Pretrained of the model': pretrained_model,
    'load_from': load_from,
    'Runner.load_checkpoint': runner_load_checkpoint,
    "mmengine's load_checkpoint": mmengines_load_checkpoint,
    'get_model(pretrained=FILE)': lambda path, _: get_model(
        Config(dict(model=CLASSIFIER)), pretrained=path
    ),
    'init_model': lambda path, _: init_model(Config(dict(model=CLASSIFIER)), path),
    'load_state_dict': whole_state_dict,
    'load_state_dict of the parts': state_dict_of_parts,
}

#: Ways that read the file by mmengine's loader.
BY_MMENGINE = tuple(WAYS)[3:9]


@pytest.mark.parametrize('program', PROGRAMS)
@pytest.mark.parametrize('way', WAYS)
def test_every_library(way, program, files, rgb, expected, cells, tmp_path):
    tools = program == PROGRAMS[1]
    for library, file in files.items():
        names = [file.path]
        unreadable = not tools and library in NOT_PYTORCH and way in BY_MMENGINE
        if unreadable:
            # torch.load's own: mmengine's loader knows PyTorch's files only
            with pytest.raises((UnpicklingError, EOFError, RuntimeError)):
                WAYS[way](file.path, tmp_path)
            names = [f'vgg_mm://{file.path}']
        for name in names:
            with loading_safely() if tools else nullcontext():
                model = WAYS[way](name, tmp_path).eval()
            with torch.inference_mode():
                found = model(file.inputs(rgb))
            torch.testing.assert_close(found, expected[library], atol=1e-3, rtol=1e-4)
        cell = 'vgg_mm://FILE' if unreadable else 'logits'
        cells.setdefault(program, {})[way, library] = cell


@pytest.mark.parametrize('way', WAYS)
def test_what_is_no_vgg_is_one_line(way, tmp_path):
    """By any way, an error of one line, and nothing left random in silence."""
    path = tmp_path / 'resnet.pth'
    torch.save({'layer1.0.conv1.weight': torch.zeros(2, 3, 3, 3)}, path)
    with pytest.raises(ValueError, match='no VGG found|begins with prefix') as error:
        WAYS[way](str(path), tmp_path)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('way', WAYS)
def test_another_net_is_one_line(way, tmp_path):
    from tests.checkpoints.source_nets import torchvision_net

    path = tmp_path / 'vgg11.pth'
    torch.save(torchvision_net('vgg11')[0].state_dict(), path)
    with pytest.raises(ValueError, match='it has no conv1_2.weight') as error:
        WAYS[way](str(path), tmp_path)
    assert '\n' not in str(error.value)


def test_own_names_are_left_alone(files):
    """A state dict in the net's names is torch's matter: strict or not, whole or in part."""
    state = torch.load(files['own'].path, weights_only=True)['state_dict']
    model = classifier()
    part = {name: tensor for name, tensor in state.items() if 'conv3' in name}
    missing, unexpected = model.load_state_dict(part, strict=False)
    assert len(missing) == 32 - 6 and not unexpected
    head = {name: tensor for name, tensor in state.items() if name.startswith('head.')}
    missing, unexpected = model.load_state_dict(head, strict=False)
    assert len(missing) == 26 and not unexpected
    with pytest.raises(RuntimeError, match='Missing key'):
        model.load_state_dict(part)
    assert model.load_state_dict({}, strict=False).missing_keys
    model.load_state_dict(torch.load(files['own'].path, mmap=True)['state_dict'], assign=True)
    assert torch.equal(model.head.fc6.weight, state['head.fc6.weight'])


@pytest.mark.parametrize('wrap', [torch.nn.DataParallel, torch.optim.swa_utils.AveragedModel])
def test_wrappers(wrap, files, rgb):
    """Their names begin with ``module.``, in the state dict or in the net."""
    file = files['torchvision']
    state = torch.load(file.path, weights_only=True)
    wrapped = wrap(classifier())
    own = {name for name in wrapped.state_dict() if name != 'n_averaged'}
    given = {f'module.{name}': tensor for name, tensor in state.items()}
    assert not own & given.keys()
    wrapped.load_state_dict(given, strict=False)
    model = classifier()
    model.load_state_dict(given)
    for net in (wrapped.module, model):
        with torch.inference_mode():
            found = net.eval()(file.inputs(rgb))
        torch.testing.assert_close(found, file.logits(rgb), atol=1e-3, rtol=1e-4)


@pytest.mark.slow
def test_mmpretrains_own_tool(few_digits, tmp_path):
    """tools/train.py of MMPretrain: ``Pretrained`` with a prefix, and ``load_from``."""
    from tests.apis.test_convert_weights import DIGITS
    from tests.checkpoints import source_nets as sources

    tool = Path(mmpretrain.__file__).parent / '.mim/tools/train.py'
    if not tool.is_file():
        pytest.skip('this MMPretrain comes without its tools')
    net = sources.torchvision_net('vgg11', DIGITS)[0]
    torch.save(net.state_dict(), tmp_path / 'net.pth')
    (tmp_path / 'own.py').write_text(
        f'_base_ = [{A_DIGITS!r}]\n'
        'init = dict(_delete_=True, type="Pretrained", checkpoint="net.pth", prefix="backbone.")\n'
        'model = dict(backbone=dict(init_cfg=init))\n'
    )
    root = f'dataset.data_root={few_digits}'  # DATA_ROOT is this package's tools'
    roots = [f'{loader}_dataloader.{root}' for loader in ('train', 'val')]
    options = short_run(few_digits, 'run', 1, 'optim_wrapper.optimizer.lr=0', *roots)
    for config, more in (('own.py', []), (A_DIGITS, ['load_from=net.pth'])):
        command = [sys.executable, '-W', 'ignore', tool, config, *options, *more]
        env = {**os.environ, 'PYTHONPATH': str(ROOT)}
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=env)
        assert done.returncode == 0, done.stderr[-3000:]
        trained = torch.load(tmp_path / 'run/epoch_1.pth', weights_only=False)['state_dict']
        assert torch.equal(trained['backbone.conv1_1.weight'], net.features[0].weight)
