"""The paper's test protocols, compared with independent computations."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.cnn import fuse_conv_bn
from mmengine.dataset import pseudo_collate
from mmpretrain.structures import DataSample
from torchvision.transforms.functional import center_crop, five_crop

from tests.models.test_conv_head import sliding_window
from tests.models.test_vgg import classifier
from vgg_mm.architectures import ARCHITECTURES
from vgg_mm.models import PaperTTA
from vgg_mm.models.tta import strips
from vgg_mm.models.tta.paper_tta import crop_corners
from vgg_mm.models.tta.strips import score_maps_in_strips

MEAN = (123.68, 116.779, 103.939)
ALL = ('dense', 'multi_crop', 'dense+multi_crop')


def small_net(arch='A', **kwargs):
    torch.manual_seed(0)
    model = classifier(
        6,
        arch=arch,
        base_channels=4,
        head=dict(in_channels=32, fc_channels=16, kernel_size=2),
        **kwargs,
    )
    model.init_weights()
    model.data_preprocessor.mean = torch.tensor(MEAN).view(-1, 1, 1)
    model.data_preprocessor.std = torch.ones(3, 1, 1)
    model.data_preprocessor._enable_normalize = model.data_preprocessor.to_rgb = True
    with torch.no_grad():
        model.head.fc8.weight.mul_(0.1)
    return model.eval()


@pytest.fixture(scope='module')
def net():
    return small_net()


def views(seed, *sizes):
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(rng.integers(0, 256, (3, *s), dtype=np.uint8)) for s in sizes]


def batch(*images):
    return pseudo_collate([dict(inputs=i, data_samples=DataSample()) for i in images])


def predict(tta, *images):
    with torch.no_grad():
        return tta.test_step(batch(*images))


def softmax(scores):
    e = np.exp(scores - scores.max())
    return e / e.sum()


def normalised(pixels):
    """The paper's pre-processing in numpy: BGR uint8 (3, H, W) -> (1, 3, H, W)."""
    rgb = pixels[::-1].astype(np.float32) - np.array(MEAN, np.float32)[:, None, None]
    return torch.from_numpy(rgb.copy())[None]


def dense_posterior(net, pixels):
    """Dense evaluation, computed position by position."""
    with torch.no_grad():
        scores = sliding_window(net.head, net.backbone(normalised(pixels))[0])
    return softmax(scores[0].flatten(1).mean(1).double().numpy())


def multi_crop_places(height, width, side, grid):
    """(top, left) of each crop of a regular grid from edge to edge."""
    rows, columns = (np.rint(np.linspace(0, n - side, grid)).astype(int) for n in (height, width))
    return [(int(top), int(left)) for top in rows for left in columns]


def multi_crop_posterior(net, pixels, side=64, grid=5):
    """Multi-crop evaluation, computed crop by crop."""
    posteriors = []
    for top, left in multi_crop_places(*pixels.shape[1:], side, grid):
        crop = pixels[:, top : top + side, left : left + side]
        with torch.no_grad():
            posteriors.append(softmax(net(normalised(crop))[0].double().numpy()))
    return np.mean(posteriors, axis=0)


def independent_posterior(net, images, evaluate, flip=True):
    """The averages over flips and scales of Section 3.2."""
    per_scale = []
    for image in images:
        pixels = image.numpy()
        per_flip = [evaluate(net, pixels)]
        if flip:
            per_flip.append(evaluate(net, pixels[:, :, ::-1]))
        per_scale.append(np.mean(per_flip, axis=0))
    return np.mean(per_scale, axis=0)


@pytest.mark.parametrize('flip', [True, False])
def test_equals_independent_computations(net, flip):
    tta = PaperTTA(net, protocol=ALL, flip=flip)
    images = [
        views(0, (64, 70), (96, 105)),
        views(1, (64, 64), (96, 96)),
        views(2, (81, 64), (120, 95)),
    ]
    samples = predict(tta, *images)
    for sample, image in zip(samples, images, strict=True):
        dense = independent_posterior(net, image, dense_posterior, flip)
        crops = independent_posterior(net, image, multi_crop_posterior, flip)
        expected = dict(zip(ALL, (dense, crops, (dense + crops) / 2)))
        assert list(sample.pred_scores) == list(ALL)
        for name in ALL:
            found = sample.pred_scores[name].numpy()
            np.testing.assert_allclose(found, expected[name], atol=1e-5)
            (alone,) = predict(PaperTTA(net, protocol=name, flip=flip), image)
            np.testing.assert_allclose(alone.pred_score.numpy(), found, atol=1e-6)
            assert 'pred_scores' not in alone
        assert torch.equal(sample.pred_score, sample.pred_scores['dense'])
        assert sample.pred_label.item() == dense.argmax()
        assert np.abs(dense - crops).max() > 1e-3


def test_several_scales_give_the_mean_over_single_scales(net):
    image = views(5, (64, 80), (80, 100), (96, 120))
    for name in ALL:
        tta = PaperTTA(net, protocol=name)
        (together,) = predict(tta, image)
        single = [predict(tta, [view])[0].pred_score for view in image]
        torch.testing.assert_close(together.pred_score, torch.stack(single).mean(0))


@pytest.mark.parametrize('protocol', ALL)
def test_batching_and_memory_bound_change_nothing(net, protocol):
    """Images of different shapes in one batch, another order and images cut in strips."""
    images = [views(i, (64, 70 + i % 2), (96, 105)) for i in range(5)]
    together = predict(PaperTTA(net, protocol), *images)
    bounded = predict(PaperTTA(net, protocol, max_pixels=1), *images)
    reversed_order = predict(PaperTTA(net, protocol, max_pixels=20000), *images[::-1])[::-1]
    for i, image in enumerate(images):
        (alone,) = predict(PaperTTA(net, protocol), image)
        for other in (together[i], bounded[i], reversed_order[i]):
            torch.testing.assert_close(other.pred_score, alone.pred_score)


@pytest.mark.parametrize('protocol', ALL)
@pytest.mark.parametrize('size', [(64, 91), (77, 66)])
def test_mirrored_image_has_the_same_posterior(net, protocol, size):
    image = views(3, size)
    (one,) = predict(PaperTTA(net, protocol), image)
    (mirrored,) = predict(PaperTTA(net, protocol), [image[0].flip(-1)])
    torch.testing.assert_close(one.pred_score, mirrored.pred_score)


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(32, 90),
    width=st.integers(32, 90),
    rows=st.integers(1, 6),
    columns=st.integers(1, 6),
)
def test_regular_grid(height, width, rows, columns):
    corners = crop_corners(height, width, 32, (rows, columns))
    assert sum(corners.values()) == rows * columns
    for side, count, axis in ((height, rows, 0), (width, columns, 1)):
        places = sorted({corner[axis] for corner in corners})
        assert min(places) >= 0 and max(places) <= side - 32
        if count > 1:
            assert (places[0], places[-1]) == (0, side - 32)
            steps = np.diff(places) if len(places) == count else [0]
            assert max(steps) - min(steps) <= 1
        if side == 32:
            assert places == [0]
    # All crops of an image of the crop's size coincide.
    assert len(crop_corners(32, 32, 32, (rows, columns))) == 1


@pytest.mark.parametrize('height, width', [(64, 64), (71, 90), (100, 65)])
def test_ten_crop_and_centre_crop_equal_torchvisions(net, height, width):
    (image,) = views(4, (height, width))
    crops = [*five_crop(image, 64), *five_crop(image.flip(-1), 64)]
    with torch.no_grad():
        posteriors = [net(normalised(crop.numpy()))[0].softmax(0) for crop in crops]
    (sample,) = predict(PaperTTA(net, 'multi_crop', grid='five'), [image])
    torch.testing.assert_close(sample.pred_score, torch.stack(posteriors).mean(0))
    (centre,) = predict(PaperTTA(net, 'multi_crop', grid=1, flip=False), [image])
    with torch.no_grad():
        expected = net(normalised(center_crop(image, 64).numpy()))[0].softmax(0)
    torch.testing.assert_close(centre.pred_score, expected)


@settings(max_examples=20, deadline=None)
@given(
    arch=st.sampled_from(list(ARCHITECTURES)),
    dilation=st.integers(1, 2),
    height=st.integers(64, 140),
    width=st.integers(64, 500),
    max_pixels=st.integers(1, 60000),
    turned=st.booleans(),
)
def test_strips_are_exact(arch, dilation, height, width, max_pixels, turned):
    net = small_net(arch, dilations=(1, 1, 1, 1, dilation))
    size = (width, height) if turned else (height, width)
    image = torch.randn(1, 3, *size) * 50
    with torch.no_grad():
        whole = net.head.score_map(net.extract_feat(image))
        parts = list(score_maps_in_strips(net, image, max_pixels))
    axis = 3 if size[1] >= size[0] else 2
    found = torch.cat(parts, dim=axis)
    torch.testing.assert_close(found, whole, rtol=1e-4, atol=1e-4 * whole.abs().max().item())


@pytest.mark.parametrize('norm_cfg', [
    dict(type='GN', num_groups=2),
    dict(type='IN'),
    dict(type='BN', track_running_stats=False),
])  # fmt: skip
def test_images_are_not_cut_for_norms_over_the_whole_image(norm_cfg, monkeypatch):
    """In strips, their posteriors would change by thousandths."""
    net, photos = small_net(norm_cfg=norm_cfg), views(0, (64, 900))
    strips._say_that_images_stay_whole.cache_clear()
    said = []
    monkeypatch.setattr(strips, 'print_log', lambda text, logger: said.append(text))
    # Without flips: a small image and its flip share a batch, which changes the batch statistics.
    whole, cut = (
        predict(PaperTTA(net, 'dense', flip=False, max_pixels=n), photos) for n in (2**20, 64 * 128)
    )
    for one, other in zip(whole, cut):
        torch.testing.assert_close(one.pred_score, other.pred_score, rtol=0, atol=1e-6)
    assert len(said) == 1 and 'go through whole' in said[0]
    assert net.backbone.reach is None and net.backbone.has_cells


def test_images_are_cut_after_norms_were_fused():
    net = small_net(norm_cfg=dict(type='BN')).eval()
    reach = net.backbone.reach
    assert fuse_conv_bn(net).backbone.reach == reach > 0


def test_strips_have_at_most_max_pixels(net):
    """This holds as long as a single position needs no more than that."""
    passes = []
    hook = net.backbone.register_forward_pre_hook(lambda _, x: passes.append(x[0].numel() // 3))
    predict(PaperTTA(net, 'dense', max_pixels=64 * 700), views(0, (64, 5000)))
    hook.remove()
    assert len(passes) > 10 and max(passes) <= 64 * 700


def out_of_memory_above(net, limit):
    """Simulate a device on which forward passes with more pixels run out of memory."""

    def check(_, x):
        if x[0].numel() // 3 > limit:
            raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate ...')

    return net.backbone.register_forward_pre_hook(check)


@pytest.mark.parametrize('protocol', ALL)
def test_out_of_memory_leads_to_smaller_passes(net, protocol):
    images = [views(i, (64, 2000)) for i in range(2)]
    expected = predict(PaperTTA(net, protocol), *images)
    hook = out_of_memory_above(net, 64 * 600)
    tta = PaperTTA(net, protocol)
    found = predict(tta, *images)
    hook.remove()
    assert tta.max_pixels < 2**20
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.pred_score, other.pred_score)


def test_no_memory_for_a_single_crop_is_one_clear_line(net):
    hook = out_of_memory_above(net, 100)
    with pytest.raises(RuntimeError, match='out of memory with one crop of 64x64') as error:
        predict(PaperTTA(net), views(0, (64, 70)))
    hook.remove()
    assert '\n' not in str(error.value)

    def broken(*_):
        raise RuntimeError('another error')

    hook = net.backbone.register_forward_pre_hook(broken)
    with pytest.raises(RuntimeError, match='another error'):
        predict(PaperTTA(net), views(0, (64, 70)))
    hook.remove()


def test_multi_crop_of_any_classifier():
    """A head on pooled features, without a score map, works with multi-crop but not with dense."""
    model = classifier(6, arch='A', base_channels=4, head=None)
    from mmpretrain.registry import MODELS

    model.neck = MODELS.build(dict(type='GlobalAveragePooling'))
    model.head = MODELS.build(dict(type='LinearClsHead', num_classes=6, in_channels=32))
    tta = PaperTTA(model.eval(), 'multi_crop', crop_size=96, grid=2)
    (sample,) = predict(tta, views(0, (100, 120)))
    assert sample.pred_score.sum().item() == pytest.approx(1)
    with pytest.raises(ValueError, match='needs a head with a score map'):
        PaperTTA(model, 'dense')


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(protocol='densely'), "unknown protocol 'densely'; choose among dense, multi_crop"),
        (dict(protocol=[]), "unknown protocol ''"),
        (dict(protocol=['dense', 'both']), "unknown protocol 'both'"),
        (dict(grid=0), 'grid must be a positive number'),
        (dict(grid=(5,)), r'got \(5,\)'),
        (dict(grid='ten'), "got 'ten'"),
        (dict(protocol='dense', grid=3), 'grid=3 is of multi_crop, the protocol is dense: leave'),
        (dict(max_pixels=0), 'max_pixels must be positive, got 0'),
    ],
)
def test_wrong_arguments_are_one_clear_line(net, arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        PaperTTA(net, **arguments)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('protocol', ALL)
def test_test_scale_below_the_crop_is_one_clear_line(net, protocol):
    message = 'an image is 60x80 at test scale Q=60, smaller than a crop of 64x64; Q must be at'
    with pytest.raises(ValueError, match=message):
        predict(PaperTTA(net, protocol), views(0, (60, 80)))
