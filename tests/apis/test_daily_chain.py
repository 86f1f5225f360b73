"""Several tools one after the other, as a user runs them: from weights to predictions and on."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import CheckpointLoader

from tests.apis import published
from tests.conftest import ROOT, run_tool
from tests.test_tools import STACKS_OWN
from vgg_mm.apis import VGGInferencer, load_features, predict
from vgg_mm.evaluation import read_records
from vgg_mm.evaluation.posteriors import load_posteriors
from vgg_mm.models.tta.paper_tta import PROTOCOLS

SHORT = ('--epochs', '1', '--batch-size', '4')
CLASSES = ['kreis', 'quadrat', 'strich']


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    """A folder with photos: two classes of three, one of fifteen."""
    folder = tmp_path_factory.mktemp('home')
    rng = np.random.default_rng(0)
    for name, count in zip(CLASSES, (15, 3, 3)):
        (folder / 'photos' / name).mkdir(parents=True)
        for i in range(count):
            coarse = rng.integers(0, 256, (6, 6, 3), np.uint8)
            photo = cv2.resize(coarse, (260, 240), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(folder / 'photos' / name / f'{i}.jpg'), photo)
    return folder


def finetune(home, weights, work_dir, *options):
    command = ('finetune.py', 'photos', '--weights', weights, '--work-dir', work_dir, *SHORT)
    return run_tool(*command, *options, cwd=home).stdout


def readmes_lines():
    """The commands of README's section "Your own photos"."""
    part = (ROOT / 'README.md').read_text().partition('\n## Your own photos\n')[2]
    return part.partition('```bash\n')[2].partition('```')[0]


@pytest.mark.slow
def test_commands_of_the_readme_and_what_follows(home):
    """check, finetune, predict, export, features, probe, finetune again, test, ensemble."""
    # Nothing is downloaded: torch.hub's cache has a net of a sixteenth of the width.
    (home / 'hub/checkpoints').mkdir(parents=True, exist_ok=True)
    published.torchvision(home / 'hub/checkpoints/vgg16-397923af.pth', 'vgg16')
    for name, target in (
        ('FOLDER', 'photos'),
        ('IMAGES', 'photos/kreis'),
        ('tools', ROOT / 'tools'),
    ):
        (home / name).symlink_to(target)
    path = f'{Path(sys.executable).parent}:{os.environ["PATH"]}'
    done = subprocess.run(
        ['bash', '-e', '-c', readmes_lines()], cwd=home, capture_output=True, text=True,
        env={**os.environ, 'PATH': path, 'TORCH_HOME': str(home), 'OMP_NUM_THREADS': '1'},
    )  # fmt: skip
    said = done.stdout
    assert done.returncode == 0, said[-2000:] + done.stderr[-2000:]
    for text in STACKS_OWN:
        assert text not in said + done.stderr
    assert 'net D (VGG-16), no norm, width 4, fc6/fc7 16/16, 7 classes; fc8 is new' in said
    run = 'work_dirs/finetune_FOLDER'
    (record,) = read_records(home / run / 'FOLDER' / 'test_results.jsonl')
    check_classes(home / run / 'FOLDER', said, record)
    assert (home / run / 'FOLDER/last_checkpoint').read_text() in done.stderr
    assert len(list((home / 'maps').rglob('*.png'))) == 15
    (result,) = VGGInferencer(pretrained=str(home / run))(str(home / 'photos/kreis/0.jpg'))
    assert result['pred_class'] in CLASSES
    run_tool('export.py', run, 'net.onnx', cwd=home)
    run_tool('extract_features.py', run, 'photos', '--out', 'f.npz', cwd=home)
    run_tool('linear_probe.py', 'f.npz', '--C', '1', '--val-fraction', '0.4', cwd=home)
    again = finetune(home, run, 'runs/second')
    assert '3 classes; fc8 is new' in again and 'recorded: in the config' in again
    tested = run_tool(
        'test.py', 'runs/second/photos.py', 'runs/second/photos', '--tta', '--tta-cfg', 'all',
        '--out', 'second.npz', cwd=home,
    ).stdout  # fmt: skip
    assert 'dense+multi_crop/error/top1' in tested
    averaged = run_tool(
        'ensemble.py', f'{run}/FOLDER/posteriors.npz:dense', 'second.npz:dense', cwd=home
    ).stdout
    assert averaged.count('dense') == 3


def check_classes(folder, said, record):
    """Per-class results and confusion matrix agree with the errors of the test."""
    with open(folder / 'confusion_matrix.csv', newline='', encoding='utf-8') as file:
        (_, *names), *rows = csv.reader(file)
    matrix = np.array([[int(cell) for cell in row] for _, *row in rows])
    assert names == CLASSES == [row[0] for row in rows]
    assert matrix.sum() == record.images
    assert matrix.sum() - matrix.trace() == record.wrong[1]
    with open(folder / 'per_class.csv', newline='', encoding='utf-8') as file:
        found = list(csv.DictReader(file))
    assert [int(row['images']) for row in found] == matrix.sum(1).tolist() == [3, 1, 1]
    assert [int(row['right']) for row in found] == matrix.diagonal().tolist()
    assert cv2.imread(str(folder / 'confusion_matrix.png')).shape[0] > 300
    assert 'Each class, the worst first' in said and 'quadrat' in said.split('Each class')[1]


@pytest.mark.parametrize(
    'file, options, layers',
    [
        ('vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5', ('--fc-channels', '24'), 'fc6, fc7'),
        ('VGG_ILSVRC_16_layers.caffemodel', ('--class-weights', 'balanced'), 'fc8 is new'),
    ],
)
def test_weights_of_other_libraries(home, file, options, layers):
    published.FILES[file](home / file)
    run = f'runs/{layers.replace(", ", "_").replace(" ", "_")}'
    said = finetune(home, file, run, *options)
    assert layers in said and 'Images     BGR' in said
    new = 'fc6, fc7, fc8' if '--fc-channels' in options else 'fc8'
    assert f'Rate       0.001, {new} 0.01;' in said  # new layers learn faster
    balance = (
        'from 0.4444 (kreis) to 2.6667' if 'balanced' in options else '--class-weights balanced'
    )
    assert balance in said
    # Any program can load it: here mmengine's loader, without the tools' extension.
    source = Config.fromfile(home / run / 'photos.py').load_from
    assert 'backbone.conv1_1.weight' in CheckpointLoader.load_checkpoint(source)['state_dict']
    photo = home / 'photos/kreis/0.jpg'
    (found,) = predict(photo, home / run, score_maps=True)
    assert found.score_map.posteriors.shape[0] == 3
    run_tool('export.py', run, 'other.ts', cwd=home)
    again = finetune(home, run, f'{run}_again', '--dry-run')
    assert '3 classes; ' in again


NOTOP = 'vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5'


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    'file, options',
    [
        pytest.param('timm_vgg11.pth', (), marks=SLOW),
        pytest.param('mmpretrain_vgg11.pth', ('--class-weights', 'balanced'), marks=SLOW),
        pytest.param('own', ('--head', 'gap'), marks=SLOW),
        pytest.param('vgg16_weights_tf_dim_ordering_tf_kernels.h5', (), marks=SLOW),
        pytest.param('VGG_ILSVRC_16_layers.caffemodel', (), marks=SLOW),
        (NOTOP, ('--head', 'gap')),
    ],
)
def test_the_whole_chain(home, file, options, net_a):
    """finetune, predict, export, features, finetune again, test by all protocols, ensemble."""
    if file == 'own':
        weights = net_a  # the folder of a run
    else:
        weights = file
        published.FILES[file](home / file)
    run, again = f'runs/chain_{file}', f'runs/again_{file}'
    said = finetune(home, weights, run, *options)
    assert 'Each class, the worst first' in said
    assert ('global average pooling; fc8 is new' in said) == ('gap' in options)
    # Pooled maps of the authors' nets are large.
    assert ('; weight decay of fc8 0.2' in said) == (file == NOTOP)
    wrapper = Config.fromfile(home / run / 'photos.py').optim_wrapper
    fc8 = wrapper.paramwise_cfg.custom_keys['head.fc8']
    decay = fc8.get('decay_mult', 1) * wrapper.optimizer.weight_decay
    assert decay == pytest.approx(0.2 if file == NOTOP else 5e-4)
    run_tool('predict.py', 'photos', run, '--out', f'{run}/r.json', cwd=home)
    predicted = json.loads((home / run / 'r.json').read_text())['predictions']
    posteriors = load_posteriors(home / run / 'photos' / 'posteriors.npz')
    scores = dict(zip(posteriors.names, posteriors.scores['dense']))
    found = {one['image'].removeprefix('photos/'): one['top'][0] for one in predicted}
    for name, own in scores.items():
        assert found[name]['label'] == own.argmax()
        assert found[name]['score'] == pytest.approx(own.max(), abs=1e-4)
    run_tool('export.py', run, f'{run}/net.onnx', cwd=home)
    layer = ('--layer', 'pool5') if 'gap' in options else ()
    run_tool('extract_features.py', run, 'photos', '--out', f'{run}/f.npz', *layer, cwd=home)
    assert load_features(home / run / 'f.npz').classes == CLASSES
    said = finetune(home, run, again)
    assert '3 classes; ' in said and 'fc8 is new' in said
    tested = run_tool(
        'test.py', f'{again}/photos.py', again, '--tta', '--tta-cfg', 'all',
        '--out', f'{again}/all.npz', cwd=home,
    ).stdout  # fmt: skip
    for protocol in PROTOCOLS:
        assert f'{protocol}/error/top1' in tested
    files = (f'{run}/photos/posteriors.npz:dense', f'{again}/all.npz:multi_crop')
    assert 'multi_crop' in run_tool('ensemble.py', *files, cwd=home).stdout


def test_a_name_of_the_model_index(home):
    """Nothing is downloaded: the published file is in torch.hub's cache."""
    (home / 'hub/checkpoints').mkdir(parents=True, exist_ok=True)
    published.torchvision(home / 'hub/checkpoints/vgg11-8a719046.pth', 'vgg11')
    command = ('photos', '--weights', 'vgg11_torchvision', '--work-dir', 'runs/named', *SHORT)
    done = run_tool('finetune.py', *command, cwd=home, env=dict(TORCH_HOME=str(home)))
    assert 'Weights    vgg_mm://https://download.pytorch.org/models/vgg11-8a719046.pth: net A' in (
        done.stdout
    )
    assert 'Each class' in done.stdout


def test_other_folders(home):
    """Validation photos in validation/, one class has none; a work directory with blanks."""
    published.torchvision(home / 'vgg11_bn.pth')
    for split, classes in (('train', CLASSES), ('validation', CLASSES[:2])):
        for name in classes:
            (home / 'splits' / split).mkdir(parents=True, exist_ok=True)
            (home / 'splits' / split / name).symlink_to(home / 'photos' / name)
    for name in ('train/@eaDir', 'validation/.ipynb_checkpoints', '__MACOSX/train/kreis'):
        (home / 'splits' / name).mkdir(parents=True)
        (home / 'splits' / name / '0.jpg').touch()
    run = 'mit Leerzeichen/und (noch) eins'
    command = ('splits', '--weights', 'vgg11_bn.pth', '--work-dir', run, *SHORT)
    said = run_tool('finetune.py', *command, cwd=home).stdout
    assert '21 to train on, 18 to validate on, as the folder has it' in said
    assert 'kreis 15 + 15, quadrat 3 + 3, strich 3 + 0' in said
    assert 'Notice     kreis has 15 photos to train on, strich 3: --class-weights' in said
    with open(home / run / 'splits' / 'per_class.csv', newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    assert [(row['class'], row['images']) for row in rows] == list(zip(CLASSES, ('15', '3', '0')))
    classes = said.split('Each class')[1].split('All classes')[0]
    assert rows[2]['recall'] == 'nan' and '\nstrich ' not in classes and '\nkreis ' in classes
    run_tool('predict.py', 'photos/strich', run, cwd=home)
    assert 'error/top1' in run_tool('test.py', f'{run}/splits.py', run, cwd=home).stdout


def test_wrong_heads(home):
    published.torchvision(home / 'vgg11_bn.pth')
    for options, message in (
        (('--fc-channels', '8'), '--fc-channels 8 is for --head fc'),
        (('--head', 'gap', '--fc-channels', '8'), '--fc-channels 8 is for --head fc'),
        (('--head', 'fc', '--fc-channels', '0'), '--fc-channels must be at least 1, got 0'),
    ):
        command = ('photos', '--weights', 'vgg11_bn.pth', '--work-dir', 'runs/wrong', *options)
        failed = run_tool('finetune.py', *command, cwd=home, check=False)
        assert failed.returncode == 1 and failed.stderr.strip().count('\n') == 0
        assert message in failed.stderr
