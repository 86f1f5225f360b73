import pytest

from tests.downstream import masks


@pytest.fixture(scope='module')
def nets():
    """Small segmentors by name, for tests that do not change them."""
    return {name: make() for name, make in masks.NETS.items()}
