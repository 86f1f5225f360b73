"""Folders of images."""

import pytest

from vgg_mm.apis.image_folders import find_images
from vgg_mm.apis.inference.images import expand_source


@pytest.mark.parametrize('find', [find_images, expand_source])
def test_linked_folders_are_followed(find, tmp_path):
    """Also in prediction, as in fine-tuning and check_dataset; a loop is an error."""
    (tmp_path / 'elsewhere/cats').mkdir(parents=True)
    (tmp_path / 'photos').mkdir()
    (tmp_path / 'elsewhere/cats/a.jpg').touch()
    (tmp_path / 'photos/cats').symlink_to(tmp_path / 'elsewhere/cats')
    assert find(str(tmp_path / 'photos')) == [str(tmp_path / 'photos/cats/a.jpg')]
    (tmp_path / 'elsewhere/cats/up').symlink_to(tmp_path / 'elsewhere')
    with pytest.raises(ValueError, match='leads to a folder above it: an endless loop'):
        find(str(tmp_path / 'elsewhere'))


@pytest.mark.parametrize('find', [find_images, expand_source])
def test_folders_that_link_to_each_other(find, tmp_path):
    for name, other in ('AB', 'BA'):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'photo.jpg').touch()
        (tmp_path / name / 'other').symlink_to(tmp_path / other)
    with pytest.raises(ValueError, match='leads to a folder above it: an endless loop'):
        find(str(tmp_path))
