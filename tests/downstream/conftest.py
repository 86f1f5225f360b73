import pytest

from tests.downstream import masks


@pytest.fixture(scope='module')
def nets():
    """Name -> small segmentor, for tests that do not change it."""
    return {name: make() for name, make in masks.NETS.items()}
