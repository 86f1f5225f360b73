"""Ordering of a test set by shape."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vgg_mm.datasets import ShapeSampler
from vgg_mm.datasets.transforms.decoding import image_size


class Photos(list):
    """A data set of paths."""

    def get_data_info(self, index):
        return dict(img_path=str(self[index]))


def write(path, height, width, **kwargs):
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(path, **kwargs)
    return path


@settings(max_examples=15, deadline=None)
@given(
    shapes=st.lists(st.sampled_from([(20, 30), (40, 60), (30, 20), (25, 25)]), min_size=1),
    processes=st.integers(1, 3),
)
def test_images_are_sorted_by_aspect_ratio(tmp_path_factory, shapes, processes):
    folder = tmp_path_factory.mktemp('photos')
    photos = Photos(write(folder / f'{i}.png', *shape) for i, shape in enumerate(shapes))
    sampler = ShapeSampler(photos)
    order = list(sampler)
    assert sorted(order) == list(range(len(photos)))
    aspects = [shapes[i][1] / shapes[i][0] for i in order]
    assert aspects == sorted(aspects)
    assert list(sampler) == order and len(sampler) == len(photos)
    # With several processes, each takes every n-th image; the last shares are padded.
    shares = []
    for rank in range(processes):
        one = ShapeSampler(photos)
        one.rank, one.world_size = rank, processes
        one.num_samples = -(-len(photos) // processes)
        one.total_size = one.num_samples * processes
        shares.append(list(one))
    together = [i for step in zip(*shares) for i in step]
    assert together[: len(photos)] == order


def test_sizes_from_headers(tmp_path):
    assert image_size(str(write(tmp_path / 'a.jpg', 20, 30))) == (20, 30)
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    assert image_size(str(write(tmp_path / 'turned.jpg', 20, 30, exif=exif))) == (30, 20)
    for name, content in (('text.jpg', b'text'), ('empty.png', b'')):
        (tmp_path / name).write_bytes(content)
        assert image_size(str(tmp_path / name)) == (0, 0)
    assert image_size(str(tmp_path / 'missing.jpg')) == (0, 0)
    assert image_size(None) == (0, 0)


def test_sizes_of_large_pngs_without_decoding(tmp_path, monkeypatch):
    """Larger than PIL allows; a PNG whose pixels are cut off has a size, too."""
    for name in ('large.png', 'large.jpg'):
        Image.new('L', (1400, 1350)).save(tmp_path / name)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10_000)
    for name in ('large.png', 'large.jpg'):
        assert image_size(str(tmp_path / name)) == (1350, 1400)
    (tmp_path / 'cut.png').write_bytes((tmp_path / 'large.png').read_bytes()[:60])
    assert image_size(str(tmp_path / 'cut.png')) == (1350, 1400)


def test_unreadable_images_come_first(tmp_path):
    photos = Photos([write(tmp_path / 'a.png', 20, 30), tmp_path / 'no.png', tmp_path / 'none.png'])
    assert list(ShapeSampler(photos)) == [1, 2, 0]


def test_built_from_a_config(tmp_path):
    from mmengine.registry import DATA_SAMPLERS

    photos = Photos([write(tmp_path / 'a.png', 20, 30)])
    sampler = DATA_SAMPLERS.build(
        dict(type='vgg_mm.ShapeSampler'), default_args=dict(dataset=photos, seed=3)
    )
    assert isinstance(sampler, ShapeSampler)
    with pytest.raises(TypeError):
        DATA_SAMPLERS.build(dict(type='vgg_mm.ShapeSampler', shuffle=True, dataset=photos))


def test_concatenated_sets_are_read_in_order(tmp_path):
    """Each numbers its own images, so that the order could not be restored."""
    parts = [Photos([write(tmp_path / f'{i}.png', 20 + 5 * i, 30)]) for i in range(3)]
    joined = Photos(sum(parts, []))
    joined.datasets = parts
    assert list(ShapeSampler(joined)) == [0, 1, 2]
