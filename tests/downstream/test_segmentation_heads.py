"""FCN and LargeFOV: comparison with plain torch and the papers' numbers, and properties."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal.windows import triang

from tests.downstream import need

need('mmseg')

from mmengine.config import Config  # noqa: E402
from mmengine.registry import MODELS, DefaultScope  # noqa: E402

from tests.checkpoints.test_from_classifier import (  # noqa: E402
    initialise_from_classifier,
    source,
)
from tests.downstream import masks  # noqa: E402
from tests.downstream.masks import NETS, scores  # noqa: E402
from vgg_mm.engine.hooks.checkpoint_check_hook import class_dependent_shapes  # noqa: E402
from vgg_mm.models.downstream.segmentation import BilinearUpsampling, upsample_cells  # noqa: E402


def convolutions(weights, x, block, dilation=1):
    for index in (1, 2, 3):
        name = f'backbone.conv{block}_{index}'
        if f'{name}.weight' in weights:
            weight, bias = weights[f'{name}.weight'], weights[f'{name}.bias']
            x = F.relu(F.conv2d(x, weight, bias, padding=dilation, dilation=dilation))
    return x


def bilinear(x, factor):
    """Reference for bilinear upsampling: a transposed convolution with replicated edges."""
    line = torch.tensor(triang(2 * factor), dtype=x.dtype)
    kernel = (line[:, None] * line).expand(x.shape[1], 1, -1, -1)
    padded = F.pad(x, (1, 1, 1, 1), mode='replicate')
    y = F.conv_transpose2d(padded, kernel, stride=factor, groups=x.shape[1])
    start = factor + factor // 2
    return y[..., start : start + factor * x.shape[2], start : start + factor * x.shape[3]]


def plain_fcn(net, image, skips):
    """FCN as in Figure 3 of Long et al., with this package's padding."""
    weights, pools = net.state_dict(), []
    x = image
    for block in range(1, 6):
        x = F.max_pool2d(convolutions(weights, x, block), 2, 2, ceil_mode=True)
        pools.append(x)

    def layer(name, x, side=1):
        weight = weights[f'decode_head.{name}.weight']
        kernel = weight.reshape(len(weight), -1, side, side)
        return F.conv2d(F.pad(x, [side // 2] * 4), kernel, weights[f'decode_head.{name}.bias'])

    x = layer('conv_seg', F.relu(layer('fc7', F.relu(layer('fc6', x, 7)))))
    for pool in (4, 3)[:skips]:
        skip = layer(f'score_pool{pool}', pools[pool - 1])
        x = bilinear(x, 2)[..., : skip.shape[2], : skip.shape[3]] + skip
    return bilinear(x, 32 // 2**skips)[..., : image.shape[2], : image.shape[3]]


@pytest.mark.parametrize('skips', [0, 1, 2])
@pytest.mark.parametrize('size', [(64, 96), (333, 517), (61, 35), (1, 1)])
def test_fcn_equals_plain_torch(nets, skips, size):
    torch.manual_seed(1)
    image = torch.randn(2, 3, *size)
    net = nets[f'FCN-{32 // 2**skips}s']
    expected = plain_fcn(net, image, skips)
    torch.testing.assert_close(scores(net, image), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('size', [(65, 97), (61, 35), (8, 3)])
def test_largefov_equals_plain_torch(nets, size):
    torch.manual_seed(1)
    image, net = torch.randn(2, 3, *size), nets['LargeFOV']
    weights, x = net.state_dict(), image
    for block, stride in enumerate((2, 2, 2, 1, 1), 1):
        x = convolutions(weights, x, block, dilation=2 if block == 5 else 1)
        x = F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=-math.inf), 3, stride)
    for name, form in (
        ('fc6', dict(dilation=12, padding=12)),
        ('fc7', {}),
        ('conv_seg', {}),
    ):
        weight, bias = (weights[f'decode_head.{name}.{kind}'] for kind in ('weight', 'bias'))
        x = F.conv2d(x if name == 'fc6' else F.relu(x), weight, bias, **form)
    # Interpolation between points 8 pixels apart; beyond the last point its value is kept.
    rows, columns = (torch.arange(side) / 8 for side in size)
    found = scores(net, image)
    for y, x_ in itertools.product((0, size[0] // 2, size[0] - 1), (0, size[1] // 2, size[1] - 1)):
        row, column = min(rows[y], x.shape[2] - 1), min(columns[x_], x.shape[3] - 1)
        expected = sum(
            (1 - abs(row - i)) * (1 - abs(column - j)) * x[..., i, j]
            for i in {math.floor(row), math.ceil(row)}
            for j in {math.floor(column), math.ceil(column)}
        )
        torch.testing.assert_close(found[..., y, x_], expected, rtol=1e-4, atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(sorted(NETS)),
    height=st.integers(1, 130),
    width=st.integers(1, 130),
)
def test_scores_have_the_images_size(nets, name, height, width):
    found = scores(nets[name], torch.randn(1, 3, height, width))
    assert found.shape == (1, 5, height, width)
    assert found.isfinite().all()


@pytest.mark.parametrize('name', ['FCN-16s', 'LargeFOV'])
def test_a_backbone_that_rounds_down_works(name):
    net = NETS[name](ceil_mode=False) if name == 'FCN-16s' else NETS[name]()
    assert scores(net, torch.randn(1, 3, 95, 63)).shape == (1, 5, 95, 63)


def centre(score):
    """Centre of mass of a map in pixels: (y, x)."""
    weight = score / score.sum()
    y, x = (torch.arange(side, dtype=score.dtype) for side in score.shape)
    return (weight.sum(1) @ y).item(), (weight.sum(0) @ x).item()


def pass_on(net):
    """Set weights that pass the first channel through, so that scores show a pixel's position."""
    with torch.no_grad():
        for name, tensor in net.named_parameters():
            if 'upscore' in name:
                continue
            tensor.zero_()
            if name.endswith('weight') and 'score_pool' not in name:
                side = 7 if 'fc6' in name and tensor.ndim == 2 else 1
                kernel = tensor.view(len(tensor), -1, side, side) if tensor.ndim == 2 else tensor
                kernel[0, 0, kernel.shape[2] // 2, kernel.shape[3] // 2] = 1
    return net


def authors_fcn32s(image):
    """The authors' FCN-32s with weights as in pass_on(): padding 100, crop at an offset of 19."""
    x = F.pad(image, [99] * 4)  # the padding of conv1_1 is 100 instead of 1
    for _ in range(5):
        x = F.max_pool2d(x, 2, 2, ceil_mode=True)
    x = x[..., 3:-3, 3:-3]  # fc6 without padding
    line = torch.tensor(triang(64), dtype=x.dtype)
    x = F.conv_transpose2d(x, (line[:, None] * line)[None, None], stride=32)
    return x[..., 19 : 19 + image.shape[2], 19 : 19 + image.shape[3]]


@pytest.mark.parametrize('name', [*NETS, "the authors'"])
def test_scores_are_aligned_with_the_pixels(name):
    """Averaged over the positions of a pixel in a cell, because pooling blurs its position."""
    if name == "the authors'":
        score = authors_fcn32s
    else:
        net = pass_on(NETS[name]())
        score = lambda image: scores(net, F.pad(image, (0, 0, 0, 0, 0, 2)))[:, :1]  # noqa: E731
    step = 8 if name == 'LargeFOV' else 32
    offsets = []
    for shift in range(step):
        place = (48 + shift, 48 + (7 * shift) % step)
        image = torch.zeros(1, 1, 128, 139)
        image[0, 0, place[0], place[1]] = 1
        found = centre(score(image)[0, 0])
        offsets.append([found[0] - place[0], found[1] - place[1]])
    offsets = torch.tensor(offsets)
    assert offsets.abs().max() <= step / 2
    assert offsets.mean(0).abs().max() < 0.01


def test_the_authors_score_positions_are_off_by_3_pixels():
    """As in FCNHead's docstring: theirs are at 12.5 + 32 i, this package's at 15.5 + 32 i."""
    image = torch.zeros(1, 1, 224, 224)
    image[..., 100, 100] = 1
    net = pass_on(masks.fcn())
    here = centre(scores(net, F.pad(image, (0, 0, 0, 0, 0, 2)))[0, 0])
    assert here == pytest.approx((15.5 + 32 * 3, 15.5 + 32 * 3), abs=1e-3)
    there = centre(authors_fcn32s(image)[0, 0])
    assert there == pytest.approx((12.5 + 32 * 3, 12.5 + 32 * 3), abs=1e-3)


@pytest.mark.parametrize('factor', [2, 8, 16, 32])
def test_learned_upsampling_starts_bilinear(factor):
    x = torch.randn(2, 3, 5, 1)
    found = BilinearUpsampling(3, factor)(x)
    torch.testing.assert_close(found, upsample_cells(factor)(x))
    torch.testing.assert_close(found, bilinear(x, factor))


def test_which_upsamplings_are_learned():
    """In the paper, the last upsampling is fixed and the others are learned (Section 4.1)."""

    def learned(choice):
        net = masks.fcn(2, head=dict(learned_upsampling=choice))
        return {n.split('.')[1] for n, _ in net.named_parameters() if 'upscore' in n}

    assert learned('skips') == {'upscore2', 'upscore_pool4'}
    assert learned('all') == {'upscore2', 'upscore_pool4', 'upscore8'}
    assert learned('none') == set()
    image = torch.randn(1, 3, 70, 50)
    outs = [
        scores(masks.fcn(2, head=dict(learned_upsampling=choice)), image)
        for choice in ('none', 'skips', 'all')
    ]
    torch.testing.assert_close(outs[0], outs[1])
    torch.testing.assert_close(outs[0], outs[2])


def test_a_finer_net_starts_with_the_coarser_ones_scores():
    """Section 4.2: the new score layers start at zero, so that only the upsampling differs."""
    coarse, fine = masks.fcn(), masks.fcn(1)
    fine.decode_head.init_weights()
    missing = fine.load_state_dict(coarse.state_dict(), strict=False).missing_keys
    assert {name.split('.')[1] for name in missing} == {'score_pool4', 'upscore2'}
    image = torch.randn(1, 3, 96, 64)
    expected = bilinear(bilinear(coarse_scores(coarse, image), 2), 16)
    torch.testing.assert_close(scores(fine, image), expected, rtol=1e-4, atol=1e-4)


def coarse_scores(net, image):
    """The output of the score layer, before upsampling."""
    kept = []
    handle = net.decode_head.conv_seg.register_forward_hook(lambda *args: kept.append(args[-1]))
    scores(net, image)
    handle.remove()
    return kept[0]


def test_the_papers_size():
    """FCN has 134M parameters (FCN paper, Table 1), LargeFOV 20.5M (DeepLab paper, Table 2)."""
    sizes = {}
    for name in ('fcn32s', 'deeplab_largefov'):
        cfg = Config.fromfile(masks.CONFIGS / f'{name}_vgg16_voc12aug.py')
        with DefaultScope.overwrite_default_scope('mmseg'), torch.device('meta'):
            net = MODELS.build(cfg.model)
        sizes[name] = sum(p.numel() for p in net.parameters())
    assert round(sizes['fcn32s'] / 1e6) == 134
    assert round(sizes['deeplab_largefov'] / 1e6, 1) == 20.5


@pytest.mark.parametrize('name', ['FCN-8s', 'LargeFOV'])
def test_initialisation_from_a_classifier(name):
    """FCN gets all of fc6 and fc7, LargeFOV every fourth filter and every third row and column."""
    net = (
        NETS[name](head=dict(fc_channels=16)) if name == 'FCN-8s' else masks.largefov(fc_channels=4)
    )
    weights = source().state_dict()
    initialise_from_classifier(net, weights, 'd.pth')
    fc6, fc7 = (weights[f'head.{layer}.weight'] for layer in ('fc6', 'fc7'))
    head = net.decode_head
    if name == 'FCN-8s':
        assert torch.equal(head.fc6.weight, fc6)
        assert torch.equal(head.fc7.weight, fc7)
    else:
        assert torch.equal(head.fc6.weight, fc6.view(16, 32, 7, 7)[::4, :, ::3, ::3])
        assert torch.equal(head.fc7.weight[..., 0, 0], fc7[::4, ::4])
    assert torch.equal(net.backbone.conv5_3.weight, weights['backbone.conv5_3.weight'])


def test_fcn_scores_equal_the_classifiers():
    """With fc8 as the score layer, the centre of a 224x224 image has the classifier's scores."""
    classifier = source().eval()
    net = masks.fcn()
    initialise_from_classifier(net, classifier.state_dict(), 'd.pth')
    net.decode_head.conv_seg.load_state_dict(
        dict(
            weight=classifier.head.fc8.weight[..., None, None].detach(),
            bias=classifier.head.fc8.bias.detach(),
        )
    )
    image = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        expected = classifier.head(classifier.backbone(image))
    torch.testing.assert_close(coarse_scores(net, image)[..., 3, 3], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('out_channels', [None, 1, 2])
def test_layers_that_depend_on_the_classes(out_channels):
    """Also where the number of scores is given, and the loss has a weight for each class."""
    loss = dict(type='CrossEntropyLoss', use_sigmoid=out_channels == 1, class_weight=[1.0, 2.0])
    head = dict(
        type='FCNHead', in_channels=32, channels=8, num_classes=2, out_channels=out_channels,
        threshold=0.5, loss_decode=loss,
    )  # fmt: skip
    backbone = dict(type='vgg_mm.VGG', arch='A', base_channels=4)
    with DefaultScope.overwrite_default_scope('mmseg'):
        shapes = class_dependent_shapes(
            dict(type='EncoderDecoder', backbone=backbone, decode_head=head)
        )
    assert set(shapes) == {'decode_head.conv_seg.weight', 'decode_head.conv_seg.bias'}
