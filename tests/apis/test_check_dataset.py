"""The report on a messy data set, compared with os.walk and Pillow."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter, defaultdict

import cv2
import matplotlib.image
import numpy as np
import pytest
from mmengine.config import Config
from mmpretrain.datasets import CustomDataset
from PIL import Image

from tests.conftest import A_DIGITS, ROOT, heed_ctrl_c, run_tool
from vgg_mm.apis.check_dataset import check_dataset
from vgg_mm.apis.check_dataset.layout import find_layout
from vgg_mm.apis.check_dataset.scan import CRASHED, Scan, scan
from vgg_mm.apis.config import DATALOADERS, check_data_folders, load_config
from vgg_mm.datasets import LoadImage

EXTENSIONS = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif')

rng = np.random.default_rng(0)


def noise(height, width):
    """A smooth random image."""
    pixels = cv2.GaussianBlur(rng.integers(0, 256, (height, width, 3), np.uint8), (0, 0), 3)
    return Image.fromarray(cv2.normalize(pixels, None, 0, 255, cv2.NORM_MINMAX))


def save(picture, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **options)
    return path


def fill(folder, splits=('train', 'val'), classes=('ant', 'bee', 'cat'), count=3):
    for split in splits:
        for name in classes:
            for i in range(count):
                size = rng.integers(150, 500, 2)
                save(noise(*size), folder / split / name / f'{i}.jpg')
    return folder


def damage(folder):
    """Adds every kind of problem to a data set of fill()."""
    train, val = folder / 'train', folder / 'val'
    shutil.rmtree(val / 'bee')
    (val / 'dog').mkdir()
    content = save(noise(90, 120), train / 'ant' / 'sound.jpg').read_bytes()
    (train / 'ant' / 'truncated.jpg').write_bytes(content[: len(content) // 2])
    save(noise(90, 120), train / 'ant' / 'profile.png', icc_profile=bytes(50))
    (train / 'ant' / 'empty.jpg').touch()
    (train / 'ant' / 'empty too.jpg').touch()
    (train / 'ant' / 'text.jpg').write_text('not found')
    (train / 'ant' / 'lost.jpg').symlink_to('nowhere')
    save(noise(300, 400), train / 'ant' / 'jpeg.png', format='JPEG')
    save(noise(300, 400).convert('CMYK'), train / 'bee' / 'cmyk.jpg')
    save(noise(300, 400).convert('L'), train / 'bee' / 'grey.jpg')
    save(noise(300, 400).convert('P'), train / 'bee' / 'palette.png')
    save(noise(30, 400), train / 'bee' / 'wide.JPEG')
    save(noise(30, 40), train / 'bee' / 'web.webp')
    deep = rng.integers(0, 2**16, (250, 250, 3), np.uint16)
    cv2.imwrite(str(train / 'cat' / 'deep.png'), deep)
    cv2.imwrite(str(train / 'cat' / 'deep grey.png'), deep[..., 0])
    exif = Image.Exif()
    exif[0x0112] = 6
    save(noise(240, 320), train / 'cat' / 'rotated.jpg', exif=exif)
    save(noise(1, 1), train / 'cat' / 'below' / 'one.png')
    shutil.copy(train / 'ant' / '0.jpg', val / 'ant' / 'leak.jpg')
    shutil.copy(train / 'ant' / '1.jpg', train / 'bee' / 'other.jpg')
    shutil.copy(train / 'cat' / '0.jpg', train / 'cat' / 'twice.jpg')
    shutil.copy(train / 'cat' / '1.jpg', val / 'ant' / 'leak, other.jpg')
    shutil.copy(train / 'cat' / '2.jpg', val / 'stray.jpg')
    shutil.copy(train / 'cat' / '2.jpg', train / 'cat' / '.hidden.jpg')
    (train / 'notes').write_text('notes')
    return folder


@pytest.fixture(scope='module')
def clean(tmp_path_factory):
    return fill(tmp_path_factory.mktemp('clean') / 'animals')


@pytest.fixture(scope='module')
def messy(tmp_path_factory):
    return damage(fill(tmp_path_factory.mktemp('messy') / 'animals'))


@pytest.fixture(scope='module')
def done(messy):
    """The tool run on the messy set, as a user runs it."""
    return run_tool('check_dataset.py', 'animals', cwd=messy.parent, check=False)


@pytest.fixture(scope='module')
def report(messy, done):
    folder = messy.parent / 'work_dirs' / 'check_dataset' / 'animals'
    return json.loads((folder / 'report.json').read_text())


@pytest.fixture(scope='module')
def walked(messy):
    """Pillow's image of each image file in a class folder; None where Pillow fails."""
    found = {}
    for where, _, names in os.walk(messy):
        for name in names:
            path = os.path.relpath(os.path.join(where, name), messy.parent)
            in_class = len(path.split(os.sep)) > 3
            if in_class and name.lower().endswith(EXTENSIONS) and name[0] != '.':
                try:
                    with Image.open(messy.parent / path) as picture:
                        picture.load()
                        found[path] = picture
                except OSError:
                    found[path] = None
    return found


def readable(walked):
    return {path: picture for path, picture in walked.items() if picture is not None}


def test_counts_equal_those_of_os_walk(report, walked):
    assert report['images'] == report['images_read'] == len(walked)
    counts = Counter(tuple(path.split(os.sep)[1:3]) for path in walked)
    found = {(s, c): n for s, classes in report['splits'].items() for c, n in classes.items()}
    assert found == {**counts, ('val', 'dog'): 0}
    assert report['missing_classes'] == {'train': ['dog'], 'val': ['bee']}
    assert report['skipped'] == {'.webp': 1, 'hidden': 1, 'notes': 1}
    assert report['outside_class_folders'] == {'./val': 1}


def test_unreadable_files_have_the_error_of_training(report, walked, messy):
    assert set(report['unreadable']) == {path for path, found in walked.items() if found is None}
    assert len(report['unreadable']) == 5
    for path, reason in report['unreadable'].items():
        with pytest.raises((ValueError, OSError)) as error:
            LoadImage().transform(dict(img_path=str(messy.parent / path)))
        assert str(error.value) == f'{reason}: {messy.parent / path}'


def test_sizes_and_modes_are_those_of_pillow(report, walked):
    pictures = readable(walked)
    short = [min(picture.size) for picture in pictures.values()]
    assert report['smaller_than_crop'] == sum(side < 224 for side in short) > 0
    found = report['short_side']
    assert (found['smallest'], found['largest']) == (min(short), max(short))
    assert found['median'] == np.median(short)
    edges = [0, *found['bounds'], np.inf]
    assert found['counts'] == np.histogram(short, edges)[0].tolist()
    upright = {
        path: picture.size[::-1] if 'rotated' in path else picture.size
        for path, picture in pictures.items()
    }
    ratios = [width / height for width, height in upright.values()]
    edges = [0, *report['aspect_ratio']['bounds'], np.inf]
    assert report['aspect_ratio']['counts'] == np.histogram(ratios, edges)[0].tolist()
    names = {'L': 'grey', 'P': 'palette', 'I;16': '16 bit'}
    modes = Counter(names.get(picture.mode, picture.mode) for picture in pictures.values())
    modes.subtract({'RGB': 1, '16 bit': -1})  # Pillow calls 16-bit colour RGB.
    assert report['modes'] == dict(modes)
    assert report['images_of_mode']['CMYK'] == ['animals/train/bee/cmyk.jpg']
    assert report['exif_rotated'] == ['animals/train/cat/rotated.jpg']


def test_extensions_and_decoder_warnings(report, walked):
    wrong = {
        path: picture.format
        for path, picture in readable(walked).items()
        if not path.lower().endswith({'JPEG': ('.jpg', '.jpeg'), 'PNG': '.png'}[picture.format])
    }
    assert report['wrong_extension'] == wrong == {'animals/train/ant/jpeg.png': 'JPEG'}
    ((path, text),) = report['decoder_warnings'].items()
    assert path == 'animals/train/ant/profile.png' and 'libpng warning' in text


def test_duplicates_are_those_of_another_hash(report, walked, messy):
    by_hash = defaultdict(list)
    for path in sorted(readable(walked)):
        by_hash[hashlib.sha256((messy.parent / path).read_bytes()).digest()].append(path)
    expected = defaultdict(list)
    for group in by_hash.values():
        splits, classes = zip(*(path.split(os.sep)[1:3] for path in group))
        if len(set(splits)) > 1:
            expected['across_splits'].append(group)
        if len(set(classes)) > 1:
            expected['across_classes'].append(group)
        if len(set(zip(splits, classes))) < len(group):
            expected['within_class'].append(group)
    found = {kind: sorted(map(sorted, groups)) for kind, groups in report['duplicates'].items()}
    assert found == {kind: sorted(groups) for kind, groups in expected.items()}
    assert [len(groups) for groups in found.values()] == [2, 2, 1]


def test_one_problem_per_line(report, done, messy):
    folder = messy.parent / 'work_dirs' / 'check_dataset' / 'animals'
    rows = [line.split('\t') for line in (folder / 'problems.txt').read_text().splitlines()]
    assert Counter(kind for _, kind, _ in rows) == report['problems']
    assert report['problems'] == {
        'unreadable': 5,
        'duplicate across splits': 2,
        'duplicate across classes': 2,
        'duplicate within class': 1,
        'missing class': 2,
        'empty class': 1,
        'outside class folders': 1,
        'wrong extension': 1,
        'decoder warning': 1,
    }
    reasons = {(path, kind): reason for path, kind, reason in rows}
    leak = reasons['animals/val/ant/leak.jpg', 'duplicate across splits']
    assert leak == 'same content as animals/train/ant/0.jpg'
    assert reasons['animals/train/ant/empty.jpg', 'unreadable'] == 'empty image file'
    assert matplotlib.image.imread(folder / 'report.png').shape[:2] == (924, 1320)


def test_terminal_output(done):
    assert done.returncode == 1 and done.stderr == ''
    assert done.stdout.splitlines()[-1] == (
        'not ready for training: 5 unreadable files; 2 images of val are also in train; '
        'the splits have different classes'
    )
    assert "'cat' is label 2 in train and 1 in val" in done.stdout
    assert 'animals/train/ant/truncated.jpg: truncated JPEG file (no end marker)' in done.stdout
    assert 'turned by EXIF 1' in done.stdout


def test_a_clean_set_is_ready(clean, tmp_path, capsys):
    assert check_dataset(str(clean), str(tmp_path), workers=2) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[-1] == 'ready for training' and captured.err == ''
    assert (tmp_path / 'problems.txt').read_text() == ''
    report = json.loads((tmp_path / 'report.json').read_text())
    assert (report['exit_status'], report['images']) == (0, 18)


def test_files_that_lack_their_last_bytes_are_listed(tmp_path, capfd):
    for name in ('ant', 'bee'):
        path = save(noise(90, 120), tmp_path / 'data' / name / '0.jpg')
        path.write_bytes(path.read_bytes()[:-2])
    assert check_dataset(str(tmp_path / 'data'), str(tmp_path / 'out'), workers=1) == 0
    out, err = capfd.readouterr()
    assert out.splitlines()[-1] == 'ready for training; worth a look: incomplete 2' and err == ''
    report = json.loads((tmp_path / 'out' / 'report.json').read_text())
    texts = {'its last bytes are missing, and with them no pixel'}
    assert set(report['incomplete'].values()) == texts and not report['decoder_warnings']


def test_a_flat_validation_folder_is_not_ready(tmp_path, capsys):
    """ImageNet's validation images are published like this."""
    fill(tmp_path / 'data', ['train'], ('ant', 'bee'), 1)
    save(noise(30, 40), tmp_path / 'data' / 'val' / '1.jpg')
    assert check_dataset(str(tmp_path / 'data'), str(tmp_path / 'out'), workers=1) == 1
    last_line = capsys.readouterr().out.splitlines()[-1]
    assert last_line == 'not ready for training: the images of val are in no class folders'
    assert 'split without class folders' in (tmp_path / 'out' / 'problems.txt').read_text()


def test_class_folders_without_splits(clean, tmp_path, capsys):
    """The same image in two classes is only a warning."""
    data = shutil.copytree(clean / 'train', tmp_path / 'a$b^')
    os.rename(data / 'ant', data / os.fsdecode(b'\xff$x_y'))
    shutil.copy(data / 'bee' / '0.jpg', data / 'cat' / 'copy.jpg')
    assert check_dataset(str(data), str(tmp_path / 'out'), workers=1) == 0
    last_line = capsys.readouterr().out.splitlines()[-1]
    assert last_line == 'ready for training; worth a look: duplicate across classes 1'
    problems = (tmp_path / 'out' / 'problems.txt').read_text()
    assert problems.startswith(f'{data}/cat/copy.jpg\tduplicate across classes\t')


@pytest.mark.parametrize(
    'files, splits',
    [
        (['a/1.png', 'b/1.png'], {'': ['a', 'b']}),
        (['train/a/1.png', 'val/b/1.png'], {'train': ['a'], 'val': ['b']}),
        (['train/a/1.png', 'train/a/2.png', 'train/stray.png'], {'train': ['a']}),
        (['train/a/1.png', 'test/1.png', 'test/2.png'], {'train': ['a']}),
        (['a/1.png', 'b/1.png', 'b/2.png', 'b/below/1.png', '0.png'], {'': ['a', 'b']}),
        (['a/1.png', 'b/1.png', 'c/below/1.png', 'd/notes.txt'], {'': ['a', 'b', 'c', 'd']}),
        (['train/a/1.png', 'docs/figures/text.txt', '.git/a/b'], {'train': ['a']}),
    ],
)
def test_folders_are_read_as_in_training(tmp_path, files, splits):
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    layout = find_layout(str(tmp_path))
    assert layout.splits == splits
    for number, split in enumerate(splits):
        data = CustomDataset(data_root=str(tmp_path / split), data_prefix='')
        assert list(data.metainfo['classes']) == splits[split]
        expected = [(info['img_path'], info['gt_label']) for info in data]
        images = np.flatnonzero(layout.split == number)
        assert sorted(expected) == sorted((layout.path(i), layout.label[i]) for i in images)


def test_hidden_and_system_folders_are_not_classes(tmp_path):
    for name in ('a', 'b', '.ipynb_checkpoints', '@eaDir', '__MACOSX'):
        (tmp_path / 'train' / name).mkdir(parents=True)
        (tmp_path / 'train' / name / '1.png').touch()
    layout = find_layout(str(tmp_path))
    assert layout.splits == {'train': ['a', 'b']} and len(layout.paths) == 2
    assert layout.skipped == {'hidden or system folder': 3}
    data = dict(type='CustomDataset', data_root=str(tmp_path), data_prefix='train')
    with pytest.raises(ValueError, match='train/.ipynb_checkpoints.*would become a class: remove'):
        check_data_folders(Config(dict(val_dataloader=dict(dataset=data))), ['val_dataloader'])


@pytest.mark.parametrize('name', ['validation', 'valid', 'val'])
def test_other_names_of_validation_folders(name, tmp_path, capsys):
    """Training and testing also use other names and print a notice; 'val' has priority."""
    for split in ('train', name, *(['validation'] if name == 'val' else [])):
        (tmp_path / split / 'a').mkdir(parents=True)
    cfg = load_config(A_DIGITS, cfg_options={'DATA_ROOT': str(tmp_path)})
    check_data_folders(cfg, DATALOADERS)
    assert [cfg[loader].dataset.data_prefix for loader in DATALOADERS] == ['train', name, name]
    said = capsys.readouterr().out
    assert (f'has no val: validation and test images are those of {name}' in said) == (
        name != 'val'
    )


def test_image_that_kills_its_reader_is_reported(clean, monkeypatch, capsys):
    class Deadly(LoadImage):
        def transform(self, results):
            if results['img_path'].endswith('train/bee/1.jpg'):
                os.kill(os.getpid(), signal.SIGKILL)
            return super().transform(results)

    monkeypatch.setattr('vgg_mm.apis.check_dataset.scan.LoadImage', Deadly)
    layout = find_layout(str(clean))
    found = scan(layout, workers=2)
    assert found.seen == 18 and len(found.readable) == 17
    ((index, reason),) = found.unreadable.items()
    assert layout.paths[index] == 'train/bee/1.jpg' and reason == CRASHED
    assert 'a process that read images died' in capsys.readouterr().err


@pytest.mark.parametrize(
    'count, broken', [(0, set()), (8, {'empty.jpg', 'empty too.jpg', 'lost.jpg'})]
)
def test_results_before_an_interruption_are_written(
    messy, tmp_path, monkeypatch, capsys, count, broken
):
    add = Scan.add

    def stop(self, index, path, facts):
        if self.seen == count:
            raise KeyboardInterrupt
        add(self, index, path, facts)

    monkeypatch.setattr(Scan, 'add', stop)
    assert check_dataset(str(messy), str(tmp_path), workers=1) == 130
    assert f'stopped after {count} of 35 images' in capsys.readouterr().out.splitlines()[-1]
    report = json.loads((tmp_path / 'report.json').read_text())
    assert report['images_read'] == count
    assert {os.path.basename(path) for path in report['unreadable']} == broken


def test_ctrl_c_stops_at_once(clean, tmp_path):
    """Even while a process is blocked by a file: here a pipe without data."""
    data = shutil.copytree(clean, tmp_path / 'data')
    pipe = data / 'val' / 'cat' / 'z.jpg'
    os.mkfifo(pipe)
    command = [sys.executable, ROOT / 'tools' / 'check_dataset.py', 'data', '--workers', '1']
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=heed_ctrl_c,
    )  # fmt: skip
    with open(pipe, 'wb'):  # opens when the other side reads
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate()
    assert process.returncode == 130 and stderr == ''
    assert re.search(r'^stopped after \d+ of 19 images', stdout.splitlines()[-1])
    assert (tmp_path / 'work_dirs' / 'check_dataset' / 'data' / 'report.png').exists()


def test_errors_are_one_clear_line(clean, tmp_path):
    with pytest.raises(FileNotFoundError, match='no folder .*nothing'):
        check_dataset(str(tmp_path / 'nothing'))
    with pytest.raises(ValueError, match='no images in class folders below'):
        check_dataset(str(tmp_path))
    with pytest.raises(ValueError, match='workers must be positive, got 0'):
        check_dataset(str(clean), workers=0)
    with pytest.raises(ValueError, match='lies in the data set'):
        check_dataset(str(clean), out=str(clean / 'report'))
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'loop').symlink_to(tmp_path)
    with pytest.raises(ValueError, match='the link .*loop leads to a folder above'):
        check_dataset(str(tmp_path))
