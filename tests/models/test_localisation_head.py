"""LocalisationHead: what it predicts, its loss and gradients, SCR and PCR."""

import numpy as np
import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from tests.models.test_conv_head import plain_linear
from vgg_mm.models import ConvHead, LocalisationHead

SMALL = dict(in_channels=6, fc_channels=(11, 9), kernel_size=3)


def head(num_classes=3, per_class=False, **kwargs):
    torch.manual_seed(0)
    module = LocalisationHead(num_classes, per_class, **{**SMALL, 'dropout': 0, **kwargs})
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return module


def sample(boxes, label=0):
    return DataSample(gt_bboxes=np.float32(boxes).reshape(-1, 4)).set_gt_label(label)


def test_only_the_last_layer_differs_from_the_classifiers():
    """The weights of a classification net fit, except those of fc8."""
    scr, pcr = LocalisationHead(1000), LocalisationHead(1000, per_class=True)
    classifier = ConvHead(1000)
    shapes = [{n: p.shape for n, p in m.named_parameters()} for m in (classifier, scr, pcr)]
    assert shapes[0].keys() == shapes[1].keys() == shapes[2].keys()
    assert {n for n in shapes[0] if shapes[0][n] != shapes[1][n]} == {'fc8.weight', 'fc8.bias'}
    assert pcr.fc8.out_features == 4000 and scr.fc8.out_features == 4  # Appendix A.1


@pytest.mark.parametrize('per_class', [False, True])
def test_boxes_of_every_position_equal_a_plain_sliding_window(per_class):
    module = head(per_class=per_class)
    x = torch.randn(2, 6, 5, 4)
    boxes = module.decode(module((x,)))
    assert boxes.shape == (2, 3 if per_class else 1, 3, 2, 4)
    for i in range(3):
        for j in range(2):
            out = plain_linear(module, x[:, :, i : i + 3, j : j + 3])
            for number in range(boxes.shape[1]):
                cx, cy, w, h = 96 * out[:, 4 * number : 4 * number + 4].T
                w, h = w.clamp(min=0), h.clamp(min=0)
                left, top = 32 * j + cx - w / 2, 32 * i + cy - h / 2
                expected = torch.stack([left, top, left + w, top + h], dim=1)
                torch.testing.assert_close(boxes[:, number, i, j], expected, rtol=1e-4, atol=1e-3)


def test_loss_equals_caffes_euclidean_loss():
    module = head()
    x = torch.randn(2, 6, 3, 3)
    samples = [sample([24, 24, 72, 48]), sample([-48, 0, 48, 96])]
    predicted = plain_linear(module, x)
    # Crops of 96: centre, width and height divided by 96.
    truth = torch.tensor([[0.5, 0.375, 0.5, 0.25], [0, 0.5, 1, 1]])
    expected = ((predicted - truth) ** 2).sum() / (2 * 2)
    torch.testing.assert_close(module.loss((x,), samples)['loss'], expected)
    twice = head(loss_weight=2.0).loss((x,), samples)['loss']
    torch.testing.assert_close(twice, 2 * expected)


@pytest.mark.parametrize('per_class', [False, True])
def test_loss_does_not_depend_on_the_crop_size(per_class):
    """It is equal for crops of 64, 96 and 224 with the same relative box and prediction."""
    losses = []
    for k in (2, 3, 7):
        module = head(per_class=per_class, kernel_size=k)
        for parameter in module.parameters():
            torch.nn.init.constant_(parameter, 0.01)
        with torch.no_grad():
            module.fc6.weight.mul_(9 / k**2)  # the same sum over the window
        box = 32 * k * np.array([0.2, 0.3, 0.9, 0.6])
        losses.append(module.loss((torch.ones(1, 6, k, k),), [sample(box, label=1)])['loss'])
    torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(losses[0], losses[2])


def test_only_the_true_class_has_gradients():
    samples = [sample([0, 0, 50, 50], label=2), sample([9, 9, 80, 60], label=2)]
    x = torch.randn(2, 6, 3, 3)
    pcr = head(per_class=True)
    pcr.loss((x,), samples)['loss'].backward()
    by_class = pcr.fc8.weight.grad.unflatten(0, (3, 4)).abs().sum((1, 2))
    assert by_class[0] == by_class[1] == 0 and by_class[2] > 0
    assert (pcr.fc8.bias.grad.unflatten(0, (3, 4))[2] != 0).all()
    scr = head()
    scr.loss((x,), samples)['loss'].backward()
    assert (scr.fc8.bias.grad != 0).all()


def test_scr_is_pcr_of_one_class():
    x, samples = torch.randn(2, 6, 3, 3), [sample([0, 0, 50, 50]), sample([9, 9, 80, 60])]
    one = head(num_classes=1, per_class=True).loss((x,), samples)['loss']
    torch.testing.assert_close(one, head(num_classes=7).loss((x,), samples)['loss'])


def test_target_is_the_box_with_the_largest_part_in_the_crop():
    x = torch.randn(1, 6, 3, 3)
    inside, larger_but_outside = [10, 10, 60, 60], [90, 90, 900, 900]
    both = head().loss((x,), [sample([larger_but_outside, inside])])['loss']
    torch.testing.assert_close(both, head().loss((x,), [sample(inside)])['loss'])


def test_predictions_are_decoded_crops():
    x = torch.randn(2, 6, 3, 3)
    module = head(per_class=True)
    for own, found in zip(module.decode(module((x,))), module.predict((x,))):
        torch.testing.assert_close(found.pred_bboxes, own[:, 0, 0])


def test_learns_a_box_in_an_image_classifier():
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(type='vgg_mm.VGG', arch='A', base_channels=2),
            head=dict(
                type='vgg_mm.LocalisationHead', num_classes=2, per_class=True, in_channels=16,
                fc_channels=32, kernel_size=1, dropout=0,
            ),
        )
    )  # fmt: skip
    model.init_weights()
    inputs = torch.randn(2, 3, 32, 32)
    boxes = [[4, 4, 20, 28], [10, 2, 30, 12]]
    samples = [sample(box, label) for label, box in enumerate(boxes)]
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(150):
        loss = model(inputs, samples, mode='loss')['loss']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = model(inputs, samples, mode='predict')
    for label, box in enumerate(boxes):
        assert (found[label].pred_bboxes[label] - torch.tensor(box)).abs().max() < 1


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(num_classes=0), 'num_classes must be a positive integer, got 0'),
        (dict(per_class='yes'), "per_class must be True or False, got 'yes'"),
        (dict(loss_weight=0), 'loss_weight must be a positive number, got 0'),
        (dict(loss_weight=float('nan')), 'loss_weight must be a positive number'),
        (dict(dropout=1), r'LocalisationHead: dropout must be in \[0, 1\), got 1'),
        (dict(fc_channels=(1, 2, 3)), 'LocalisationHead: fc_channels must be one or two widths'),
        (dict(kernel_size=0), 'LocalisationHead: kernel_size must be a positive integer'),
        (dict(init_cfg='zeros'), "LocalisationHead: unknown init_cfg 'zeros'"),
    ],
)
def test_wrong_arguments_are_one_clear_line(arguments, message):
    with pytest.raises(ValueError, match=message) as error:
        LocalisationHead(**{'num_classes': 2, **arguments})
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    'size, samples, message',
    [
        ((3, 3), [DataSample().set_gt_label(0)], 'has no gt_bboxes.*algorithm_keys'),
        ((3, 3), [sample([], 0)], 'has no gt_bboxes'),
        ((3, 3), [sample([0, 0, 9, 9], 3)], 'a label of 3 to 3 with num_classes=3'),
        ((4, 3), [sample([0, 0, 9, 9])], '2x1 positions, a crop has one: crop them to 96x96'),
        ((2, 3), [sample([0, 0, 9, 9])], 'smallest image that works .* is 96x96'),
    ],
)
def test_wrong_samples_are_one_clear_line(size, samples, message):
    with pytest.raises(ValueError, match=message) as error:
        head(per_class=True).loss((torch.zeros(1, 6, *size),), samples)
    assert '\n' not in str(error.value)
