"""Progress reports within a batch, compared with the work that the nets really do."""

import pytest
import torch
from mmpretrain.structures import DataSample

from tests.models.test_localisation_tta import batch as of_localisation
from tests.models.test_localisation_tta import classifier as small_classifier
from tests.models.test_localisation_tta import coordinates, localiser, saved
from tests.models.test_paper_tta import batch, small_net, views
from vgg_mm.apis.net_table import layers
from vgg_mm.kernels import accelerate
from vgg_mm.models import VGG, LocalisationTTA, PaperTTA
from vgg_mm.models.batch_work import BatchWork, block_shares, pixels_of, telling, training_cost

SIZES = [(64, 90), (96, 135)]


def seen(model):
    """Record the number of pixels of each input of the VGGs in a model."""
    counted = []
    for net in model.modules():
        if isinstance(net, VGG):
            net.register_forward_pre_hook(lambda net, args: counted.append(args[0][:, 0].numel()))
    return counted


@pytest.mark.parametrize('grid', [1, (2, 3), 'five'])
@pytest.mark.parametrize('protocol', ['dense', 'multi_crop', 'dense+multi_crop'])
@pytest.mark.parametrize('flip', [True, False])
def test_pixels_of_a_protocol(protocol, grid, flip):
    options = dict(grid=grid) if 'multi' in protocol else {}
    tta = PaperTTA(small_net(), protocol=protocol, flip=flip, **options)
    data = batch(views(0, *SIZES), views(1, (64, 64), (96, 96)))
    expected = pixels_of(tta, data)
    counted = seen(tta)
    with torch.no_grad():
        tta.test_step(data)
    assert sum(counted) == expected


def test_pixels_of_localisation(tmp_path):
    """Three nets, one of which uses a single Q."""
    rated = [saved(small_classifier(), tmp_path / f'{i}.pth') for i in range(2)]
    rated[1]['scales'] = (96,)
    tta = LocalisationTTA(localiser(), rated, topk=1).eval()
    photo = coordinates(240, 320)
    data = of_localisation([photo, photo], (96, 128))
    expected = pixels_of(tta, data)
    counted = seen(tta)
    with torch.no_grad():
        tta.test_step(data)
    assert sum(counted) == expected > 0


def test_shares_equal_those_of_the_multiply_adds():
    rows = [row for row in layers('D') if row.name.startswith('conv')]
    total = sum(row.multiply_adds for row in rows)
    for block, share in enumerate(block_shares(VGG(arch='D', base_channels=64)), 1):
        found = sum(row.multiply_adds for row in rows if row.name.startswith(f'conv{block}'))
        assert share == pytest.approx(found / total, rel=1e-2)  # biases make a difference


@pytest.mark.parametrize('faster', [False, True])
@pytest.mark.parametrize('with_last_pool', [False, True])
def test_shares_come_block_by_block_and_end_at_one(faster, with_last_pool):
    net = accelerate(
        VGG(arch='A', base_channels=4, with_last_pool=with_last_pool), on=faster
    ).eval()
    images = torch.zeros(2, 3, 64, 96)
    plain = net(images)
    told = []
    with torch.no_grad(), telling(net, 2 * images[:, 0].numel(), told.append):
        found = net(images)
        net(images)
        net(images)  # exceeds the expected work
    assert torch.equal(found[0], plain[0])
    shares = torch.tensor(block_shares(net)).cumsum(0) / 2
    assert told == pytest.approx([*shares.tolist(), *(shares[:-1] + 0.5).tolist()])
    net(images)
    assert len(told) == 9  # the hooks have been removed


def test_no_reports_without_known_work():
    net = VGG(arch='A', base_channels=4).eval()
    told = []
    work = BatchWork(net, told.append)
    net(torch.zeros(1, 3, 64, 64))  # begin() has not been called
    work.begin(64 * 64)
    net.first_block = 4  # the inputs are feature maps
    net(torch.zeros(1, 32, 4, 4))
    assert told == []
    assert pixels_of(net, [torch.zeros(3, 8, 8)]) == pixels_of(net, None) == 0
    loaded = dict(inputs=[torch.zeros(3, 4, 5), torch.zeros(3, 2, 2)], data_samples=[DataSample()])
    assert pixels_of(net, loaded) == 24
    assert pixels_of(net, dict(inputs=torch.zeros(3, 3, 4, 5))) == 60
    assert BatchWork(torch.nn.Linear(2, 2), told.append)._hooks == []


def test_cost_of_a_training_step():
    assert training_cost(torch.nn.Linear(1, 1)) == training_cost(VGG(arch='A')) == pytest.approx(3)
    frozen = training_cost(VGG(arch='A', frozen_stages=5))
    assert frozen == pytest.approx(1)
    assert 1 < training_cost(VGG(arch='A', frozen_stages=4)) < 2
