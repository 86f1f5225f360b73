"""Tar shards compared with the same images in folders, and invalid shards."""

import gzip
import io
import json
import os
import pickle
import tarfile

import numpy as np
import pytest
from mmengine.dataset import ClassBalancedDataset, pseudo_collate
from mmengine.registry import DATASETS
from mmpretrain.datasets import CustomDataset
from PIL import Image
from torch.utils.data import DataLoader

from vgg_mm.datasets import TarShards, tar_index, tar_shards

PIPELINE = [dict(type='vgg_mm.LoadImage'), dict(type='PackInputs')]

#: In the order of folders, which differs from that of paths: '-' comes before '/'.
CLASSES = ('a', 'a-b', 'c')


@pytest.fixture
def folder(tmp_path):
    """Three classes of 5, 4 and 3 images, with a subfolder and a name with dots."""
    rng = np.random.default_rng(0)
    for count, name in zip((5, 4, 3), CLASSES):
        for i in range(count):
            path = tmp_path / 'train' / name / ('sub' if i == 3 else '') / f'x.{i}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (4 + i, 5, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
    return tmp_path / 'train'


@pytest.fixture
def shards(folder):
    """The class folders in three shards, in random order."""
    paths = sorted(path for path in folder.rglob('*.png'))
    np.random.default_rng(1).shuffle(paths)
    for number in range(3):
        with tarfile.open(folder.parent / f'train-{number:06}.tar', 'w') as tar:
            for path in paths[number::3]:
                tar.add(path, path.relative_to(folder.parent), recursive=False)
    return folder.parent


def write(path, members, mode='w'):
    """A tar file of (name, content)."""
    with tarfile.open(path, mode) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def png(value):
    file = io.BytesIO()
    Image.new('RGB', (2, 2), (value,) * 3).save(file, 'png')
    return file.getvalue()


def tar_set(root, shards='train-{000000..000002}.tar', pipeline=PIPELINE, **options):
    return TarShards(shards, data_root=str(root), pipeline=pipeline, **options)


def labels(dataset):
    return [int(label) for label in dataset.get_gt_labels()]


def assert_same(found, expected):
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected):
        assert np.array_equal(one['inputs'], other['inputs'])
        assert one['data_samples'].gt_label == other['data_samples'].gt_label


def test_equals_custom_dataset(folder, shards):
    plain = CustomDataset(data_root=str(folder), pipeline=PIPELINE)
    dataset = tar_set(shards, order='class')
    assert dataset.metainfo == plain.metainfo == dict(classes=CLASSES)
    assert labels(dataset) == labels(plain)
    assert_same([dataset[i] for i in range(12)], [plain[i] for i in range(12)])
    for i in range(12):
        shard, member = dataset.get_data_info(i)['img_path'].split('::')
        assert os.path.join(str(shards), member) == plain.get_data_info(i)['img_path']
        assert os.path.isfile(shard)


@pytest.mark.parametrize('start', ['fork', 'spawn'])
def test_workers(folder, shards, start):
    """The parent process has read images, so workers inherit open files."""
    dataset = tar_set(shards, order='class')
    expected = [dataset[i] for i in range(12)]
    loader = DataLoader(
        dataset,
        batch_size=2,
        num_workers=2,
        collate_fn=pseudo_collate,
        multiprocessing_context=start,
    )
    batches = list(loader)
    found = [
        dict(inputs=image, data_samples=sample)
        for batch in batches
        for image, sample in zip(batch['inputs'], batch['data_samples'])
    ]
    assert_same(found, expected)
    assert_same([dataset[i] for i in range(12)], expected)


def test_order_of_the_shards(shards):
    dataset = tar_set(shards, 'train-*.tar')
    found = [dataset.get_data_info(i)['img_path'] for i in range(12)]
    expected = []
    for number in range(3):
        path = f'{shards}/train-{number:06}.tar'
        with tarfile.open(path) as tar:
            expected += [f'{path}::{name}' for name in tar.getnames()]
    assert found == expected


def test_usual_options_of_data_sets(folder, shards):
    """A config, lazy_init, indices, wrappers, subsets, and class names from a file."""
    (shards / 'names.txt').write_text('cat\ndog\nowl\n')
    config = dict(
        type='vgg_mm.TarShards',
        shards=[f'train-00000{i}.tar' for i in range(3)],
        data_root=str(shards.parent),
        data_prefix=shards.name,
        order='class',
        classes=str(shards / 'names.txt'),
        indices=[0, 5, 9],
        lazy_init=True,
        pipeline=PIPELINE,
    )
    dataset = DATASETS.build(config)
    assert not dataset._fully_initialized and dataset.metainfo['classes'] == ('cat', 'dog', 'owl')
    assert labels(dataset) == [0, 1, 2]
    assert len(ClassBalancedDataset(tar_set(shards), 0.5)) > 12
    whole = tar_set(shards)
    part = whole.get_subset([3, 4])
    assert_same([part[0], part[1]], [whole[3], whole[4]])
    assert 'train-{000000..000002}.tar' in repr(whole)


def test_labels_beside_the_images(tmp_path):
    """Numbers or names, before or after the image; .cls has priority over .json."""
    other = json.dumps(dict(caption='no label'))
    write(
        tmp_path / 'numbers.tar',
        [
            ('0001.cls', b' 7\n'),
            ('0001.png', png(1)),
            ('0002.png', png(2)),
            ('0002.json', json.dumps(dict(label=3.0, class_name='x')).encode()),
            ('0003.json', other.encode()),
            ('0003.png', png(3)),
            ('0003.cls', b'0'),
            ('./0004.PNG', png(4)),
            ('./0004.json', b'{"class": "5"}'),
            ('about.json', b'[1, 2]'),
            ('._0004.png', b'of another system'),
        ],
    )
    dataset = tar_set(tmp_path, 'numbers.tar')
    assert labels(dataset) == [7, 3, 0, 5] and 'classes' not in dataset.metainfo
    assert [int(dataset[i]['inputs'][0, 0, 0]) for i in range(4)] == [1, 2, 3, 4]
    assert labels(tar_set(tmp_path, 'numbers.tar', classes=list('abcdefgh'))) == [7, 3, 0, 5]
    members = [
        member
        for i, name in enumerate(('owl', 'cat', 'owl'))
        for member in ((f'{i}.png', png(i)), (f'{i}.json', json.dumps({'class': name}).encode()))
    ]
    write(tmp_path / 'names.tar', members)
    dataset = tar_set(tmp_path, 'names.tar')
    assert labels(dataset) == [1, 0, 1] and dataset.metainfo['classes'] == ('cat', 'owl')


def test_without_labels(tmp_path):
    write(tmp_path / 'a.tar', [('2.png', png(2)), ('1.png', png(1))])
    dataset = tar_set(tmp_path, 'a.tar', with_label=False, order='class')
    assert [int(dataset[i]['inputs'][0, 0, 0]) for i in range(2)] == [1, 2]
    assert 'gt_label' not in dataset.get_data_info(0)


@pytest.mark.parametrize(
    'names, classes',
    [
        (('a/1.png', 'b/1.png'), ('a', 'b')),
        (('./train/a/1.png', './train/b/x/1.png'), ('a', 'b')),
        (('train/a/1.png', 'train/a/2.png'), ('a',)),
    ],
)
def test_class_folders(tmp_path, names, classes):
    write(tmp_path / 'a.tar', [(name, png(0)) for name in names])
    assert tar_set(tmp_path, 'a.tar').metainfo['classes'] == classes


def test_the_later_of_two_members_is_used(tmp_path):
    write(tmp_path / 'a.tar', [('a/1.png', png(1)), ('a/2.png', png(2))])
    write(tmp_path / 'a.tar', [('a/1.png', png(9))], mode='a')
    dataset = tar_set(tmp_path, 'a.tar')
    assert [int(dataset[i]['inputs'][0, 0, 0]) for i in range(len(dataset))] == [9, 2]


def test_the_index_is_cached_until_a_shard_changes(shards, monkeypatch):
    scans = []
    scan = tar_index.scan_shard
    monkeypatch.setattr(tar_index, 'scan_shard', lambda *a: scans.append(a) or scan(*a))
    first = labels(tar_set(shards))
    assert len(scans) == 3 and (shards / 'train-000000.tar.index.npz').is_file()
    assert labels(tar_set(shards)) == first and len(scans) == 3
    write(shards / 'train-000001.tar', [('train/c/new.png', png(0))])
    assert len(labels(tar_set(shards))) == 9 and len(scans) == 6
    (shards / 'train-000000.tar.index.npz').write_bytes(b'damaged')
    assert len(labels(tar_set(shards))) == 9 and len(scans) == 9
    # The path of the cache can be given; a cache that cannot be written is no error.
    file = shards / 'cache' / 'train.npz'
    tar_set(shards, index_file=str(file))
    assert file.is_file() and len(scans) == 12
    assert len(tar_set(shards, index_file=str(shards / 'train-000000.tar' / 'x'))) == 9
    assert tar_set(shards, 'train-000001.tar', extensions=['.PNG']).metainfo['classes'] == ('c',)


def test_index_keeps_unusual_names(tmp_path):
    names = ('ä/ b\n.png', 'ä/' + 'long' * 60 + '.png')
    write(tmp_path / 'a.tar', [(name, png(i)) for i, name in enumerate(names)])
    for _ in range(2):
        dataset = tar_set(tmp_path, 'a.tar')
        assert [dataset.get_data_info(i)['img_path'] for i in range(2)] == [
            f'{tmp_path}/a.tar::{name}' for name in names
        ]
        assert [int(dataset[i]['inputs'][0, 0, 0]) for i in range(2)] == [0, 1]


def test_open_files_are_few_and_closed(shards, monkeypatch):
    monkeypatch.setattr(tar_shards, 'MAX_OPEN', 2)
    dataset = tar_set(shards, 'train-*.tar')

    def open_shards():
        links = [os.readlink(f'/proc/self/fd/{number}') for number in open_files()]
        return sum(link.startswith(str(shards)) for link in links)

    def open_files():
        return [n for n in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{n}')]

    for i in range(12):
        dataset[i]
    assert open_shards() == 2
    copy = pickle.loads(pickle.dumps(dataset))
    assert open_shards() == 2
    copy[0]
    assert open_shards() == 3
    del copy, dataset
    assert open_shards() == 0


def test_every_truncated_shard_is_rejected(tmp_path):
    """At any block, also between members, where tarfile sees a regular end."""
    path = write(tmp_path / 'a.tar', [('a/1.png', png(1)), ('b/2.png', bytes(1500))])
    content = path.read_bytes()
    end = 2 * 512 + 512 + 3 * 512
    for length in (0, 100, 512, 600, 1024, 1300, 1536, 2000, end - 512, end):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match=f'^shard {path} is truncated or .*') as error:
            tar_set(tmp_path, 'a.tar')
        assert '\n' not in str(error.value)
    path.write_bytes(content[:1024] + b'x' * 512 + content[1536:])
    with pytest.raises(ValueError, match='damaged at byte 1,024'):
        tar_set(tmp_path, 'a.tar')
    path.write_bytes(content[: end + 512])
    assert len(tar_set(tmp_path, 'a.tar')) == 2


def test_shard_that_changes_while_in_use(tmp_path):
    path = write(tmp_path / 'a.tar', [('a/1.png', png(1)), ('b/2.png', png(2))])
    dataset = tar_set(tmp_path, 'a.tar')
    path.write_bytes(path.read_bytes()[:1540])
    with pytest.raises(ValueError, match=r'shard is truncated: 4 of \d+ bytes of .*a.tar::b/2.png'):
        dataset[1]
    path.unlink()
    with pytest.raises(OSError, match='cannot read .*a.tar::b/2.png: .*No such file'):
        pickle.loads(pickle.dumps(dataset))[1]


def test_broken_image_is_reported(tmp_path):
    write(tmp_path / 'a.tar', [('a/1.png', b''), ('b/2.png', b'text')])
    dataset = tar_set(tmp_path, 'a.tar')
    with pytest.raises(ValueError, match=f'empty image file: {tmp_path}/a.tar::a/1.png'):
        dataset[0]
    with pytest.raises(ValueError, match=f'not an image, .*: {tmp_path}/a.tar::b/2.png'):
        dataset[1]


A, B = ('a/1.png', png(1)), ('b/2.png', png(2))

WRONG = {
    'missing': ('b.tar', [A], {}, 'shard not found: .*/b.tar'),
    'missing in a range': ('{a..b}.tar', [A], {}, 'shard not found: .*{a..b}.tar'),
    'no match': ('b*.tar', [A], {}, r"no shards 'b\*.tar' in"),
    'no images': ('a.tar', [('a/1.txt', b'')], {}, 'no images in 1 shard.*a.tar; extensions are'),
    'no folder': ('a.tar', [('1.png', png(1))], {}, 'no label for .*a.tar::1.png: neither'),
    'one without a folder': ('a.tar', [A, ('2.png', png(1))], {}, 'no label for .*a.tar::2.png'),
    'one without .cls': ('a.tar', [A, B, ('a/1.cls', b'0')], {}, 'no label for .*::b/2.png'),
    'damaged JSON': ('a.tar', [A, ('a/1.json', b'{')], {}, 'not a label: .*a.tar::a/1.json'),
    'list as JSON': ('a.tar', [A, ('a/1.json', b'[3]')], {}, 'not a label: .*a.tar::a/1.json'),
    'several labels': ('a.tar', [A, ('a/1.json', b'{"label": [1, 2]}')], {}, 'not a label: .*json'),
    'truth as label': ('a.tar', [A, ('a/1.json', b'{"class": true}')], {}, 'not a label: .*json'),
    'label of bytes': ('a.tar', [A, ('a/1.cls', b'\xff')], {}, 'not a label: .*a.tar::a/1.cls'),
    'negative label': ('a.tar', [A, ('a/1.cls', b'-1')], {}, 'label -1 of .*::a/1.png: labels go'),
    'label beyond the classes': (
        'a.tar',
        [A, ('a/1.cls', b'2')],
        dict(classes=['x', 'y']),
        'label 2 of .*a.tar::a/1.png: labels go from 0 to 1',
    ),
    'fewer names than folders': (
        'a.tar',
        [A, B],
        dict(classes=['x']),
        '2 classes in the shards a.tar, but 1 are given',
    ),
    'filter': ('a.tar', [A], dict(filter_cfg=dict(min_size=9)), 'filter_cfg is not used; indices'),
    'order': ('a.tar', [A], dict(order='name'), "order must be 'shard' or 'class', got 'name'"),
}


@pytest.mark.parametrize('case', WRONG)
def test_errors_are_one_clear_line(case, tmp_path):
    shards, members, options, message = WRONG[case]
    write(tmp_path / 'a.tar', members)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        tar_set(tmp_path, shards, **options)
    assert '\n' not in str(error.value)


def test_labels_in_other_spellings(tmp_path):
    other = json.dumps({'label': None, 'class': 3}).encode()
    write(tmp_path / 'a.tar', [('a/1.JPG', png(1)), ('a/1.CLS', b'2'), B, ('b/2.json', other)])
    assert labels(tar_set(tmp_path, 'a.tar')) == [2, 3]


def test_the_index_is_no_shard(tmp_path):
    write(tmp_path / 'train-0', [A, B])
    for _ in range(2):
        assert len(tar_set(tmp_path, 'train-*')) == 2


def test_other_files_are_rejected(tmp_path):
    path = write(tmp_path / 'a.tar', [A])
    (tmp_path / 'b.tar.gz').write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(ValueError, match='shard .*b.tar.gz is compressed: unpack it'):
        tar_set(tmp_path, 'b.tar.gz')
    (tmp_path / 'c.tar').write_bytes(b'text' * 1000)
    with pytest.raises(ValueError, match='shard .*c.tar is truncated or no tar file'):
        tar_set(tmp_path, 'c.tar')
    with tarfile.open(path, 'a') as tar:
        link = tarfile.TarInfo('b/2.png')
        link.type, link.linkname = tarfile.LNKTYPE, 'a/1.png'
        tar.addfile(link)
    with pytest.raises(ValueError, match='a.tar::b/2.png is a link'):
        tar_set(tmp_path, 'a.tar')
