"""Every library's weights in a classifier, loaded in every way: the library's logits, or one line.

``python -m pytest -s tests/test_weights_anywhere.py`` prints the tables: for other programs (which,
like MMPretrain's tools, only import vgg_mm and call mmengine) and for this package's tools.
"""

import time
from contextlib import nullcontext
from itertools import product
from pathlib import Path
from pickle import UnpicklingError

import mmpretrain
import numpy as np
import pytest
import torch
import torchvision
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner, load_checkpoint
from mmpretrain import get_model
from mmpretrain.apis import init_model
from mmpretrain.registry import MODELS

import vgg_mm
from tests.checkpoints.source_nets import NARROW, randomise
from tests.checkpoints.weight_files import LIBRARIES, NOT_PYTORCH, table, write_files
from tests.conftest import A_DIGITS, run_tool, short_run
from vgg_mm.checkpoints import load_checkpoint as load_here
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
    """Library -> its own logits."""
    return {library: file.logits(rgb) for library, file in files.items()}


@pytest.fixture(scope='module')
def cells():
    """The results, printed as tables at the end."""
    found = {}
    yield found
    for program in PROGRAMS:
        print(f'\n{table(program, list(WAYS), LIBRARIES, found.get(program, {}))}')
    print(f'\n{table("tools", list(BY_A_TOOL), list(TOOLS), found.get("tools", {}))}')


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
    run.load_or_resume()  # as in Runner.train
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


#: Way -> function that loads the weights of a file and returns the net.
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

#: Ways that read the file with mmengine's loader.
BY_MMENGINE = tuple(WAYS)[3:9]


@pytest.mark.parametrize('program', PROGRAMS)
@pytest.mark.parametrize('way', WAYS)
def test_every_library(way, program, files, rgb, expected, cells, tmp_path):
    tools = program == PROGRAMS[1]
    for library, file in files.items():
        names = [file.path]
        unreadable = not tools and library in NOT_PYTORCH and way in BY_MMENGINE
        if unreadable:
            # Errors of torch.load: mmengine's loader only supports PyTorch's files.
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
def test_weights_of_another_architecture_are_one_clear_line(way, tmp_path):
    """In every way they are a one-line error, so that no layer silently stays random."""
    path = tmp_path / 'resnet.pth'
    torch.save({'layer1.0.conv1.weight': torch.zeros(2, 3, 3, 3)}, path)
    with pytest.raises(ValueError, match='no VGG found|begins with prefix') as error:
        WAYS[way](str(path), tmp_path)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('way', WAYS)
def test_weights_of_another_vgg_are_one_clear_line(way, tmp_path):
    from tests.checkpoints.source_nets import torchvision_net

    path = tmp_path / 'vgg11.pth'
    torch.save(torchvision_net('vgg11')[0].state_dict(), path)
    with pytest.raises(ValueError, match='it has no conv1_2.weight') as error:
        WAYS[way](str(path), tmp_path)
    assert '\n' not in str(error.value)


def test_own_names_are_loaded_by_torch(files):
    """A state dict with the net's own names is loaded as usual: strict or not, whole or in part."""
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
    """Names may begin with ``module.``, in the state dict or in the net."""
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


#: Tools with their arguments: MMPretrain's own, and this package's as run by ``mim train vgg_mm
#: CONFIG``, from the folder in which openmim searches.
TOOLS = {
    'MMPretrain': (Path(mmpretrain.__file__).parent / '.mim/tools/train.py', []),
    'mim train': (Path(vgg_mm.__file__).parent / '.mim/tools/train.py', ['--launcher', 'none']),
}
INIT = 'model = dict(backbone=dict(init_cfg=dict(_delete_=True, type="Pretrained", {})))'
BY_A_TOOL = {
    'Pretrained': INIT.format('checkpoint="net.pth"'),
    "Pretrained, prefix='backbone.'": INIT.format('checkpoint="net.pth", prefix="backbone."'),
    'load_from': 'load_from = "net.pth"',
}


@pytest.fixture
def trained(few_digits, tmp_path):
    """Function that trains net A with a tool from net.pth, for an epoch with learning rate 0."""

    def train(tool, way, check=True):
        script, arguments = TOOLS[tool]
        if not script.is_file():
            pytest.skip(f'{tool} comes without its tools')
        (tmp_path / 'own.py').write_text(f'_base_ = [{A_DIGITS!r}]\n{BY_A_TOOL[way]}\n')
        root = f'dataset.data_root={few_digits}'  # only this package's tools know DATA_ROOT
        options = [f'{loader}_dataloader.{root}' for loader in ('train', 'val')]
        short = short_run(few_digits, 'run', 1, 'optim_wrapper.optimizer.lr=0', *options)
        return run_tool(str(script), 'own.py', *arguments, *short, cwd=tmp_path, check=check)

    return train


def note(cells, way, tool, result):
    """Add a library's result to a cell of the tools' table."""
    tools = cells.setdefault('tools', {})
    tools[way, tool] = f'{tools.get((way, tool), "")} {result}'.strip()


@pytest.mark.parametrize('tool', TOOLS)
@pytest.mark.parametrize('way', BY_A_TOOL)
def test_tools(way, tool, trained, cells, tmp_path):
    from tests.apis.test_convert_weights import DIGITS
    from tests.checkpoints.source_nets import torchvision_net

    net = torchvision_net('vgg11', DIGITS)[0]
    torch.save(net.state_dict(), tmp_path / 'net.pth')
    trained(tool, way)
    found = torch.load(tmp_path / 'run/epoch_1.pth', weights_only=False)['state_dict']
    layers = [*net.features, *(net.classifier if way == 'load_from' else ())]
    expected = [w for layer in layers for w in layer.parameters()]
    names = [name for name in found if way == 'load_from' or name.startswith('backbone.')]
    assert len(names) == len(expected)
    for name, tensor in zip(names, expected):
        assert torch.equal(found[name].view(tensor.shape), tensor), name
    note(cells, way, tool, 'torchvision: all')


@pytest.mark.slow
@pytest.mark.parametrize('library', LIBRARIES[1:])
@pytest.mark.parametrize('tool', TOOLS)
@pytest.mark.parametrize('way', ['Pretrained', 'load_from'])
def test_tools_with_every_library(way, tool, library, files, few_digits, cells, tmp_path):
    """Net D at the files' width, on seven digits in crops of 224, with a learning rate of 0."""
    script, arguments = TOOLS[tool]
    if not script.is_file():
        pytest.skip(f'{tool} comes without its tools')
    for split, label in product(('train', 'val'), map(str, range(NARROW.classes))):
        (tmp_path / 'seven' / split).mkdir(parents=True, exist_ok=True)
        (tmp_path / 'seven' / split / label).symlink_to(few_digits / split / label)
    cfg, path = Config.fromfile(A_DIGITS), files[library].path
    head = dict(CLASSIFIER['head'], kernel_size=NARROW.side)
    cfg.merge_from_dict(dict(model=dict(backbone=CLASSIFIER['backbone'], head=head)))
    cfg.optim_wrapper.optimizer.lr = 0.0
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset.data_root = str(tmp_path / 'seven')
        loader.dataset.pipeline[1].update(scale=224, crop_size=224)
    # mmengine's loader only supports PyTorch's files.
    foreign = tool == 'MMPretrain' and library in NOT_PYTORCH
    if way == 'load_from':
        cfg.load_from = f'vgg_mm://{path}' if foreign else path
    else:
        cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=path)
    cfg.dump(tmp_path / 'own.py')
    short = short_run(tmp_path / 'seven', 'run', 1)
    run_tool(str(script), 'own.py', *arguments, *short, cwd=tmp_path)
    found = torch.load(tmp_path / 'run/epoch_1.pth', weights_only=False)['state_dict']
    given = load_here(path)['state_dict']
    taken = [name for name in given if way == 'load_from' or name.startswith('backbone.')]
    assert len(taken) >= 26 and all(torch.equal(found[name], given[name]) for name in taken)
    prefix = 'vgg_mm://FILE' if foreign and way == 'load_from' else 'all'
    note(cells, way, tool, f'{library}: {prefix}')


@pytest.mark.parametrize('tool', TOOLS)
@pytest.mark.parametrize('way', BY_A_TOOL)
def test_tools_reject_weights_of_another_architecture(way, tool, trained, tmp_path):
    torch.save({'layer1.0.conv1.weight': torch.zeros(2, 3, 3, 3)}, tmp_path / 'net.pth')
    done = trained(tool, way, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and ('no VGG found' in last or 'begins with prefix' in last)
    assert last.startswith('error: ') == (tool == 'mim train')
    assert not list(tmp_path.glob('run/*.pth'))


def test_full_width(tmp_path):
    """torchvision's VGG-16 at full width, 138 million weights, in MMPretrain's classifier."""
    with torch.device('meta'):
        net = torchvision.models.vgg16()
    net = randomise(net.to_empty(device='cpu'))
    torch.save(net.state_dict(), tmp_path / 'net.pth')
    x = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        expected = net(x)
    del net
    model = dict(
        type='ImageClassifier',
        backbone=dict(type='vgg_mm.VGG', arch='D'),
        head=dict(type='vgg_mm.ConvHead', num_classes=1000),
    )
    with torch.device('meta'), DefaultScope.overwrite_default_scope('mmpretrain'):
        found = MODELS.build(model)
    found = found.to_empty(device='cpu').eval()
    load_checkpoint(found, str(tmp_path / 'net.pth'), map_location='cpu')
    with torch.inference_mode():
        torch.testing.assert_close(found(x), expected, atol=1e-3, rtol=1e-4)
