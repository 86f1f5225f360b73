"""Short forms of the commands in the blocks of pages.

A command of a page runs as shown, with the data of world.py; only options are added here so that
it takes seconds: a narrower net, fewer images, no compilation. To add a short form: options of a
tool in :data:`TOOLS`, or another program in :data:`PROGRAMS`.
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
    """Words of a command with settings added at the end of its ``--cfg-options``."""
    if '--cfg-options' not in words:
        return [*words, '--cfg-options', *settings]
    start = words.index('--cfg-options') + 1
    ends = (i for i in range(start, len(words)) if words[i].startswith('--'))
    end = next(ends, len(words))
    return [*words[:end], *settings, *words[end:]]


def narrow(config):
    """Settings for narrower nets in a config."""
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
    """The digits have ten classes, the animals two and a narrow initial classifier."""
    if 'digits' in config:
        return DIGITS
    if config.endswith('localisation/vgg16_animals.py'):
        init = f'default_hooks.classifier_init.checkpoint={NOTOP}'
        return (init, 'model.head.num_classes=2')
    if 'animals' in config:
        return ('model.head.num_classes=2', 'tta_model.classifiers.0.config.head.num_classes=2')
    return ()


def options_alone(words, folder):
    """tests/app tests the page of vgg-mm app."""
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
    """Only the plan; in another folder, because pages use the results of the training."""
    return [*words, '--dry-run', '--work-dir', 'dry_run']


def plan(words, folder):
    """Only the plan, without measured steps."""
    return [*words, '--dry-run', '--no-measure']


def scaling(words, folder):
    """Steps and data paths are measured for a short time, with a narrow net."""
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
    """Two images per class are too few to choose C by cross-validation."""
    return [*words, '--C', '1']


def few_photos(words, folder):
    """Photos of one class."""
    few = {'photos': 'photos/val/class_0', 'IMAGES': 'IMAGES/val/class_0'}
    few['data/digits/val/3'] = 'data/digits/val/3/17*.png'
    return [few.get(word, word) for word in words]


def as_it_is(words, folder):
    return words


def only_its_options(words, folder):
    """Compilation takes minutes; its own tests run it on a small extension."""
    assert not words, f'build_mmcv_ops.py with options: {HOW}'
    return ['--help']


#: Tool -> function of (words, folder) that returns the words of the short form.
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

#: Words that stand for a config.
WORDS = {
    'CONFIG': 'configs/vgg/vgg16_jitter_imagenet.py',
    'faster_rcnn_vgg16_animals': 'configs/downstream/detection/faster_rcnn_vgg16_animals.py',
}

#: Replacements in scripts, mostly for narrow nets.
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
    """The path of a checkpoint of a long training is replaced by the last one here, or any."""
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
    """Run in the short form of its script; other words, as ``--help``, are unchanged."""
    if words[0] == '--print-completion' and find_spec('shtab') is None:
        return finished(words)  # needs an extra
    if words[0] in COMMANDS:
        words = [words[0], *short_form(COMMANDS[words[0]].script, words[1:], folder)]
    return preloaded.run([str(ROOT / 'vgg_mm_cli/__main__.py'), *words], folder)


def trained_setting(word, folder):
    key, equals, value = word.rpartition('=')
    return f'{key}{equals}{trained(value, folder)}' if value else word


def finished(words, well=True, message=''):
    return subprocess.CompletedProcess(words, 0 if well else 1, '', '' if well else f'{message}\n')


def collect_tests(words):
    """pytest: checks that the files and marks exist."""
    marks = [words[i + 1].split()[-1] for i, word in enumerate(words) if word == '-m']
    known = (ROOT / 'pyproject.toml').read_text()
    missing = [word for word in words if word.startswith('tests') and not (ROOT / word).exists()]
    missing += [mark for mark in marks if f'"{mark}: ' not in known]
    return finished(words, not missing, f'not there: {missing}')


def build_package(words):
    """tests/test_wheel.py builds sdist and wheel."""
    return finished(words, not words, f'unknown options: {words}')


MODULES = {'pytest': collect_tests, 'build': build_package}


def pip(words, folder):
    """Checks names of extras and the form of requirements; nothing is installed."""
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
    """Only prints the commands."""
    return subprocess.run(['make', '-n', *words], cwd=ROOT, capture_output=True, text=True)


def pre_commit(words, folder):
    """Another test checks its config."""
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
    """The function that runs the commands of a page in a folder."""
    stand_ins = {'CONFIG': downstream.CONFIG} if page == 'docs/segmentation.md' else {}

    def answer(words):
        words = [stand_ins.get(word, word) for word in words]
        return PROGRAMS[words[0]](words[1:], folder)

    return answer
