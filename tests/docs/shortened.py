"""The short forms of what the pages' blocks call.

A command of a page runs as it stands there, in a world of its own (world.py), but for what is added
here so that it takes seconds: a narrower net, fewer images, no compilation. To add one: a tool's
options in :data:`TOOLS`, or another program in :data:`PROGRAMS`.
"""

import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

from tests import preloaded
from tests.conftest import ROOT
from tests.docs import downstream
from tests.docs.shell import python_script
from tests.docs.world import NARROW, NOTOP, ONE_PROCESS, in_places
from vgg_mm_cli import COMMANDS

DIGITS = ('model.head.num_classes=10',)
SHORT_TRAINING = (
    'train_cfg.max_epochs=1', 'train_dataloader.batch_size=7', 'val_dataloader.batch_size=7',
    'train_dataloader.dataset.indices=14', 'val_dataloader.dataset.indices=7',
    'default_hooks.logger.interval=1', 'train_cfg.val_interval=1',
)  # fmt: skip

HOW = 'give it a short form in tests/docs/shortened.py'


def add_settings(words, settings):
    """Words of a command with more settings at the end of its ``--cfg-options``."""
    if '--cfg-options' not in words:
        return [*words, '--cfg-options', *settings]
    start = words.index('--cfg-options') + 1
    ends = (i for i in range(start, len(words)) if words[i].startswith('--'))
    end = next(ends, len(words))
    return [*words[:end], *settings, *words[end:]]


def narrow(config):
    """Settings that narrow the nets of a config."""
    if not re.search(r'localisation/.*_[ps]cr_', config):
        return NARROW
    members = [f'classifiers.{i}' for i in range(2 if 'fusion' in config else 1)]
    members += ['localisers.0'] if 'fusion' in config else []
    inside = [
        setting.replace('model.', f'tta_model.{member}.config.')
        for member in members
        for setting in NARROW
    ]
    return (*NARROW, *inside)


def classes_of(config):
    """The digits have ten classes, the animals two; their classifier is as narrow as the file."""
    if 'digits' in config:
        return DIGITS
    if config.endswith('localisation/vgg16_animals.py'):
        init = f'default_hooks.classifier_init.checkpoint={NOTOP}'
        return (init, 'model.head.num_classes=2')
    if 'animals' in config:
        return ('model.head.num_classes=2', 'tta_model.classifiers.0.config.head.num_classes=2')
    return ()


def options_alone(words, folder):
    """The page of vgg-mm app is visited in tests/app."""
    return [*words, '--help']


def train(words, folder):
    config = words[0]
    if 'downstream' in config:
        return downstream.shorten(words, folder, add_settings)
    settings = (*narrow(config), *ONE_PROCESS, *classes_of(config), *SHORT_TRAINING)
    return add_settings(words, settings)


def test(words, folder):
    if 'downstream' in words[0]:
        return downstream.shorten(words, folder, add_settings)
    settings = (*narrow(words[0]), *ONE_PROCESS, *classes_of(words[0]))
    if 'localisation' in words[0]:
        words = ['LOCALISER_256' if word == 'CHECKPOINT' else word for word in words]
    return add_settings(words, (*settings, 'test_dataloader.dataset.indices=2'))


test.__test__ = False  # the short form of tools/test.py


def dry_run(words, folder):
    """The plan alone; in another folder, since pages use what the training would have left."""
    return [*words, '--dry-run', '--work-dir', 'dry_run']


def plan(words, folder):
    """What would be done, without steps that are timed."""
    return [*words, '--dry-run', '--no-measure']


def scaling(words, folder):
    """Steps and data paths are measured for a short time, on a narrow net."""
    if '--per-image-ms' in words:
        return words
    words = [word for word in words if not word.endswith('.py')]
    if '--per-gpu-batch' in words:
        words[words.index('--per-gpu-batch') + 1] = '8'
    else:
        words = [*words, '--batch', '8']
    if '--data' in words:
        words = [*words, '--data-seconds', '0.01']
    return ['configs/vgg/vgg11_jitter_digits.py', *words, '--gpus', '1', '2']


def one_c(words, folder):
    """Two images a class are too few to choose C by cross-validation."""
    return [*words, '--C', '1']


def few_photos(words, folder):
    """Of one class."""
    few = {'photos': 'photos/val/class_0', 'IMAGES': 'IMAGES/val/class_0'}
    few['data/digits/val/3'] = 'data/digits/val/3/17*.png'
    return [few.get(word, word) for word in words]


def as_it_is(words, folder):
    return words


def only_its_options(words, folder):
    """Compiles for minutes; its own tests try it on a small extension."""
    assert not words, f'build_mmcv_ops.py with options: {HOW}'
    return ['--help']


#: Tool -> function of (words, folder) that gives the words of the short form.
TOOLS = {
    'app.py': options_alone,
    'build_mmcv_ops.py': only_its_options,
    'check_dataset.py': as_it_is,
    'convert_weights.py': as_it_is,
    'ensemble.py': as_it_is,
    'export.py': as_it_is,
    'extract_features.py': as_it_is,
    'finetune.py': dry_run,
    'linear_probe.py': one_c,
    'net_table.py': as_it_is,
    'paper_table.py': as_it_is,
    'predict.py': few_photos,
    'prepare_data.py': as_it_is,
    'rgb_statistics.py': as_it_is,
    'run.py': plan,
    'scaling.py': scaling,
    'test.py': test,
    'networks.py': as_it_is,
    'test_views.py': as_it_is,
    'train.py': train,
    'train_chain.py': plan,
}

#: Words that stand for something of the reader's, or for a config.
WORDS = {
    'CONFIG': 'configs/vgg/vgg16_jitter_imagenet.py',
    'faster_rcnn_vgg16_animals': 'configs/downstream/detection/faster_rcnn_vgg16_animals.py',
}

#: The same in scripts: a narrow net has to be said to be one.
SCRIPTS = {
    "pretrained='work_dirs/vgg16_jitter_imagenet/epoch_74.pth'": (
        "pretrained='CHECKPOINT', backbone=dict(base_channels=4), "
        'head=dict(in_channels=32, fc_channels=16, num_classes=7)'
    ),
    'backbone=dict(out_indices=': 'backbone=dict(base_channels=4, out_indices=',
    'head=dict(num_classes=12)': 'head=dict(in_channels=32, fc_channels=16, num_classes=12)',
    "'vgg16_torchvision', pretrained='torchvision://vgg16')": (
        "'vgg16_torchvision', pretrained='torchvision://vgg16', backbone=dict(base_channels=4), "
        'head=dict(in_channels=32, fc_channels=16, num_classes=7))'
    ),
    "{'train_cfg.max_epochs': 8}": repr([*NARROW, *ONE_PROCESS, *DIGITS, *SHORT_TRAINING]),
    "predict('photos'": "predict('photos/val/class_0'",
    "('raccoon-177.jpg', 'raccoon-30.jpg', 'raccoon-192.jpg')": "('0.png', '1.png', '2.png')",
    "linear_probe('train.npz', 'val.npz')": "linear_probe('train.npz', 'val.npz', c=[1.0])",
}


def script(text):
    """The short form of a page's Python."""
    for long, short in SCRIPTS.items():
        text = text.replace(long, short)
    return in_places(text)


def trained(word, folder):
    """A checkpoint that a long training leaves: the last of the short one, or any."""
    path = folder / word
    if not re.fullmatch(r'epoch_\d+\.pth', path.name) or path.exists():
        return word
    last = path.parent / 'last_checkpoint'
    return last.read_text() if last.exists() else str(folder / 'CHECKPOINT')


def run_python(words, folder):
    if words[0] == '-c':
        return preloaded.run(python_script(words[1], folder / 'command.py')[1:], folder)
    if words[0] == '-m':
        return MODULES[words[1]](words[2:])
    tool = Path(words[0])
    if tool.name not in TOOLS:
        raise ValueError(f'unknown {tool.name}: {HOW}, TOOLS')
    path = tool if tool.is_absolute() else ROOT / tool
    return preloaded.run([str(path), *short_form(tool.name, words[1:], folder)], folder)


def short_form(tool, words, folder):
    words = [trained_setting(WORDS.get(word, in_places(word)), folder) for word in words]
    return TOOLS[tool](words, folder)


def vgg_mm_command(words, folder):
    """In the short form of its script; what is none, as ``--help``, as it is."""
    if words[0] == '--print-completion' and find_spec('shtab') is None:
        return finished(words)  # of an extra
    if words[0] in COMMANDS:
        words = [words[0], *short_form(COMMANDS[words[0]].script, words[1:], folder)]
    return preloaded.run([str(ROOT / 'vgg_mm_cli/__main__.py'), *words], folder)


def trained_setting(word, folder):
    key, equals, value = word.rpartition('=')
    return f'{key}{equals}{trained(value, folder)}' if value else word


def finished(words, well=True, message=''):
    return subprocess.CompletedProcess(words, 0 if well else 1, '', '' if well else f'{message}\n')


def collect_tests(words):
    """pytest: that the files are there, and the marks."""
    marks = [words[i + 1].split()[-1] for i, word in enumerate(words) if word == '-m']
    known = (ROOT / 'pyproject.toml').read_text()
    missing = [word for word in words if word.startswith('tests') and not (ROOT / word).exists()]
    missing += [mark for mark in marks if f'"{mark}: ' not in known]
    return finished(words, not missing, f'not there: {missing}')


def build_package(words):
    """sdist and wheel: built by tests/test_wheel.py."""
    return finished(words, not words, f'unknown options: {words}')


MODULES = {'pytest': collect_tests, 'build': build_package}


def pip(words, folder):
    """Nothing is installed: the names of extras and the form of requirements are looked at."""
    from packaging.requirements import Requirement

    assert words[0] == 'install', f'pip {words[0]}: {HOW}'
    listed = (ROOT / 'pyproject.toml').read_text().partition('dynamic.optional-dependencies]')[2]
    for word in words[1:]:
        extra = re.fullmatch(r'\.(?:\[([\w,]+)\])?', word)
        if extra and extra[1]:
            for name in extra[1].split(','):
                assert f'\n{name} = ' in listed, f'pyproject.toml has no extra {name!r}'
        elif not extra and not word.startswith('-') and not word.endswith('.whl'):
            Requirement(word)
    return finished(words)


def make(words, folder):
    """What would be done."""
    return subprocess.run(['make', '-n', *words], cwd=ROOT, capture_output=True, text=True)


def pre_commit(words, folder):
    """Its config is a test's of its own."""
    known = words == ['install'] and (ROOT / '.pre-commit-config.yaml').is_file()
    return finished(words, known, f'pre-commit {words}: {HOW}')


#: Program -> function of (words, folder).
PROGRAMS = {
    'python': run_python,
    '.venv/bin/python': run_python,
    '.venv-dev/bin/pre-commit': pre_commit,
    'vgg-mm': vgg_mm_command,
    'pip': pip,
    'make': make,
}


def answer_in(folder, page=''):
    """What answers the commands of a page, in the folder where they run."""
    stand_ins = {'CONFIG': downstream.CONFIG} if page == 'docs/segmentation.md' else {}

    def answer(words):
        words = [stand_ins.get(word, word) for word in words]
        return PROGRAMS[words[0]](words[1:], folder)

    return answer
