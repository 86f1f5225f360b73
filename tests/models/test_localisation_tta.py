"""The full localisation protocol: dense boxes in image coordinates, merged and scored."""

import itertools

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.model import BaseModel
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from vgg_mm.datasets.transforms.resampling import rescale
from vgg_mm.models import LocalisationHead, LocalisationTTA, PaperTTA
from vgg_mm.models.tta.merging import merge_boxes

SMALL = dict(in_channels=16, fc_channels=12, kernel_size=2)


class KnowsTheBox(BaseModel):
    """A localiser that predicts a given box of the photo from the pixels of each window.

    The blue and green channels of the photo contain half of each pixel's column and row. From them
    the net finds the position and scale of each window, independently of the code under test.
    """

    def __init__(self, boxes, kernel_size):
        super().__init__(ClsDataPreprocessor())
        self.boxes = boxes  # one for each class, in pixels of the photo
        self.head = LocalisationHead(
            len(boxes), per_class=len(boxes) > 1, kernel_size=kernel_size, in_channels=1
        )
        self.head.score_map = self.answer

    def forward(self, inputs):
        return self.head(self.extract_feat(inputs))

    def extract_feat(self, inputs):
        return (torch.nn.functional.avg_pool2d(inputs[:, :2], 32),)

    def answer(self, feats):
        cells = 2 * feats[0].double() + 0.5  # centre of each 32x32 cell in the photo
        k = self.head.kernel_size
        windows = cells.unfold(2, k, 1).unfold(3, k, 1)
        middle = windows.mean((4, 5))
        # The centres of the first and the last cell are k - 1 cells of 32 pixels apart.
        across = (windows[:, 0, :, :, 0, -1] - windows[:, 0, :, :, 0, 0]) * k / (k - 1)
        down = (windows[:, 1, :, :, -1, 0] - windows[:, 1, :, :, 0, 0]) * k / (k - 1)
        parameters = []
        for x1, y1, x2, y2 in self.boxes:
            parameters += [
                ((x1 + x2) / 2 - middle[:, 0]) / across + 0.5,
                ((y1 + y2) / 2 - middle[:, 1]) / down + 0.5,
                (x2 - x1) / across,
                (y2 - y1) / down,
            ]
        return torch.stack(parameters, dim=1)


def coordinates(height, width):
    """A uint8 BGR photo whose blue and green are half of each pixel's column and row."""
    rows, columns = np.mgrid[:height, :width]
    return np.uint8(np.stack([columns / 2, rows / 2, 0 * rows], axis=-1))


def classifier(num_classes=2, head='vgg_mm.ConvHead', **kwargs):
    return dict(
        type='mmpretrain.ImageClassifier',
        data_preprocessor=dict(type='ClsDataPreprocessor', mean=[9] * 3, std=[50] * 3),
        backbone=dict(type='vgg_mm.VGG', arch='A', base_channels=2),
        head=dict(type=head, num_classes=num_classes, **SMALL, **kwargs),
    )  # fmt: skip


def localiser(**kwargs):
    return classifier(head='vgg_mm.LocalisationHead', **kwargs)


def saved(config, path, seed=0):
    """Save a random net; return it as an entry of the model's ``classifiers`` or ``localisers``."""
    torch.manual_seed(seed)
    net = MODELS.build(config)
    net.init_weights()
    torch.save(dict(state_dict=net.state_dict(), meta={}), path)
    return dict(config=config, checkpoint=str(path))


@pytest.fixture
def rated_by(tmp_path):
    return [saved(classifier(), tmp_path / 'classifier.pth')]


def batch(photos, scales, label=0):
    """A batch as returned by the pipeline and ``pseudo_collate``."""
    pack = dict(type='mmpretrain.PackInputs')
    pipeline = Compose([dict(type='vgg_mm.TestScales', scales=scales), pack])
    packed = [
        pipeline(dict(img=photo, ori_shape=photo.shape[:2], img_shape=photo.shape[:2]))
        for photo in photos
    ]
    for entry in packed:
        entry['data_samples'].set_gt_label(label)
    return dict(
        inputs=[list(views) for views in zip(*(p['inputs'] for p in packed))],
        data_samples=[p['data_samples'] for p in packed],
    )


BOXES = ((60.0, 40.0, 200.0, 150.0), (5.0, 90.0, 310.0, 230.0))


@pytest.mark.parametrize('scales', [(96,), (112,), (150,), (96, 128), (112, 160, 224)])
@pytest.mark.parametrize('size', [(240, 320), (320, 240), (251, 333), (100, 400)])
@torch.no_grad()
def test_merged_boxes_equal_the_truth_to_a_pixel(size, scales, rated_by):
    """All windows at all Q predict the same box of the photo."""
    model = LocalisationTTA(KnowsTheBox(BOXES, kernel_size=2), rated_by).eval()
    truth = np.clip(BOXES, 0, [size[1], size[0]] * 2)
    for label in (0, 1):
        (found,) = model.test_step(batch([coordinates(*size)], scales, label))
        guesses = found.pred_instances
        for box, guessed in zip(guesses.bboxes.numpy(), guesses.labels.tolist()):
            assert np.abs(box - truth[guessed]).max() < 1.1
        assert np.abs(found.pred_bboxes.numpy()[0] - truth[label]).max() < 1.1
        assert guesses.labels[0] == found.pred_label == found.pred_score.argmax()
        assert found.pred_score.sum() == pytest.approx(1, abs=1e-5)


def by_hand(photo, scales, localisers, classifiers, label, threshold):
    """The protocol as plain loops over scales, nets and windows."""
    boxes, scores, posteriors = [], [], []
    height, width = photo.shape[:2]
    for q in scales:
        size = (q, q * width // height) if height <= width else (q * height // width, q)
        view = torch.from_numpy(rescale(photo, size)).permute(2, 0, 1)[None]
        class_scores = []
        for net in classifiers:
            inputs = net.data_preprocessor(dict(inputs=view))['inputs']
            class_scores.append(net.head.score_map(net.extract_feat(inputs))[0])
        class_map = torch.stack([s.softmax(0) for s in class_scores]).mean(0)
        posteriors.append(torch.stack([s.mean((1, 2)).softmax(0) for s in class_scores]).mean(0))
        for net in localisers:
            inputs = net.data_preprocessor(dict(inputs=view))['inputs']
            out = net.head.score_map(net.extract_feat(inputs))[0]
            own = out[4 * label : 4 * label + 4] if len(out) > 4 else out
            for i, j in itertools.product(*map(range, own.shape[1:])):
                cx, cy, w, h = 64 * own[:, i, j]
                w, h = w.clamp(min=0), h.clamp(min=0)
                x1, y1 = 32 * j + cx - w / 2, 32 * i + cy - h / 2
                box = torch.stack([x1, y1, x1 + w, y1 + h])
                boxes.append((box * torch.tensor([width / size[1], height / size[0]] * 2)).tolist())
                scores.append(class_map[label, i, j].item())
    merged, sums = merge_boxes(boxes, scores, threshold)
    return merged[sums.argmax()].clip(0, [width, height] * 2), torch.stack(posteriors).mean(0)


@pytest.mark.parametrize('max_pixels', [2**20, 96 * 96])
@torch.no_grad()
def test_two_nets_of_each_kind_equal_the_plain_loops(photo, tmp_path, max_pixels):
    """Boxes of all nets are merged, posteriors are averaged; cutting large views in strips changes
    nothing."""
    members = dict(
        classifiers=[saved(classifier(), tmp_path / f'c{i}.pth', i) for i in (1, 2)],
        localisers=[saved(localiser(per_class=False), tmp_path / 'l.pth', 3)],
    )
    torch.manual_seed(4)
    module = MODELS.build(localiser(per_class=True))
    module.init_weights()
    model = LocalisationTTA(module, threshold=0.9, max_pixels=max_pixels, **members).eval()
    # Move the boxes into the photo, so that they differ: random nets predict points near a corner.
    for net in (model.module, *model.localisers):
        net.head.fc8.bias.copy_(torch.tensor([0.5, 0.5, 0.6, 0.7] * net.head.num_boxes))
        net.head.fc8.weight.mul_(0.3)
    nets = [model.module, *model.localisers]
    for label in (0, 1):
        data = batch([photo, photo[:, ::-1].copy(), photo[:100, :160].copy()], (96, 128), label)
        found = model.test_step(data)
        for image, sample in zip([photo, photo[:, ::-1], photo[:100, :160]], found):
            box, posterior = by_hand(
                np.ascontiguousarray(image), (96, 128), nets, model.classifiers, label, 0.9
            )
            np.testing.assert_allclose(sample.pred_bboxes[0].numpy(), box, rtol=1e-4, atol=1e-2)
            torch.testing.assert_close(sample.pred_score, posterior, rtol=1e-4, atol=1e-5)
    assert [view.shape[-2] for view in data['inputs']] == [128] * 3


@torch.no_grad()
def test_members_use_their_own_scales(photo, tmp_path):
    """In a fusion, each net runs only at its own Q; a Q without a net is an error."""
    first = KnowsTheBox(BOXES[:1], kernel_size=2)
    rated = [dict(saved(classifier(1), tmp_path / f'{q}.pth', q), scales=(q,)) for q in (96, 128)]
    model = LocalisationTTA(first, rated, scales=128, topk=1).eval()
    for label, box in enumerate(BOXES[:1]):
        (found,) = model.test_step(batch([coordinates(240, 320)], (96, 128), label))
        assert np.abs(found.pred_bboxes.numpy()[0] - box).max() < 1
    with pytest.raises(ValueError, match='no localisation net looks at any Q'):
        model.test_step(batch([coordinates(240, 320)], (96,)))
    with pytest.raises(ValueError, match='no classifier looks at Q=112'):
        LocalisationTTA(first, rated).test_step(batch([coordinates(240, 320)], (112,)))


def test_config_as_a_path_and_recorded_preprocessing(tmp_path):
    member = saved(classifier(), tmp_path / 'net.pth')
    weights = torch.load(tmp_path / 'net.pth', weights_only=True)
    weights['meta']['preprocessing'] = dict(to_rgb=True, mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0])
    torch.save(weights, tmp_path / 'net.pth')
    (tmp_path / 'net.py').write_text(f'model = {member["config"]!r}\n')
    member['config'] = str(tmp_path / 'net.py')
    model = LocalisationTTA(localiser(), [member])
    assert model.classifiers[0].data_preprocessor.mean.flatten().tolist() == [1, 2, 3]
    assert model.classifiers[0].data_preprocessor.to_rgb
    for name, tensor in model.classifiers[0].state_dict().items():
        assert torch.equal(tensor, weights['state_dict'][name])


def recorded(member, classes):
    """The same net, its checkpoint with class names."""
    content = torch.load(member['checkpoint'], weights_only=True)
    content['meta']['dataset_meta'] = dict(classes=classes)
    torch.save(content, member['checkpoint'])
    return member


@torch.no_grad()
def test_classes_of_the_other_nets_are_matched_by_name(tmp_path):
    """A classifier and a localiser whose classes are in another order predict the same."""
    names, config = ('ant', 'bee', 'fly'), localiser(num_classes=3, per_class=True)
    found = []
    for order in ([0, 1, 2], [2, 0, 1]):
        nets = [
            saved(classifier(3), tmp_path / 'c.pth', seed=1),
            saved(config, tmp_path / 'l.pth', seed=2),
        ]
        for net, outputs in zip(nets, (1, 4)):
            content = torch.load(net['checkpoint'], weights_only=True)
            weights = content['state_dict']
            for name in ('head.fc8.weight', 'head.fc8.bias'):
                parts = weights[name].unflatten(0, (3, outputs))
                weights[name] = parts[order].flatten(0, 1)
            torch.save(content, net['checkpoint'])
            recorded(net, [names[i] for i in order])
        torch.manual_seed(0)
        model = LocalisationTTA(config, nets[:1], nets[1:])
        model.module.init_weights()
        lines = model.match_classes(names)
        assert len(lines) == (0 if order == [0, 1, 2] else 2)
        data = batch([coordinates(120, 150)], (96,), label=1)
        found.append(model.eval().test_step(data)[0])
    assert model.match_classes([names[i] for i in order]) == [] and not model._orders
    same, moved = found
    torch.testing.assert_close(moved.pred_score, same.pred_score)
    torch.testing.assert_close(moved.pred_bboxes, same.pred_bboxes)
    torch.testing.assert_close(moved.pred_instances.bboxes, same.pred_instances.bboxes)
    assert 'tta_model.localisers.0 was trained on the classes in another order' in lines[1]
    with pytest.raises(ValueError, match=r"classifiers.0 was .* \('fly', ...\): 'cat' is none of"):
        model.match_classes(('cat', 'bee', 'fly'))


@pytest.mark.parametrize(
    'change, message',
    [
        (dict(classifiers=[]), 'classifiers must contain a classification net'),
        (
            lambda m: dict(classifiers=[dict(m, checkpoint=None)]),
            'tta_model.classifiers.0.checkpoint is not set.*--cfg-options',
        ),
        (
            lambda m: dict(classifiers=[dict(m, checkpoint='none.pth')]),
            'checkpoint not found: none.pth',
        ),
        (
            lambda m: dict(classifiers=[dict(m, config='none.py')]),
            'classifiers.0.config not found: none.py',
        ),
        (lambda m: dict(classifiers=[m['checkpoint']]), r'must be dict\(config=..., checkpoint'),
        (lambda m: dict(classifiers=[dict(m, net=1)]), r'must be dict\(config=..., checkpoint'),
        (
            lambda m: dict(classifiers=[dict(m, scales=[])]),
            'classifiers.0.scales: test scales Q',
        ),
        (
            lambda m: dict(classifiers=[dict(m, config=classifier(5))]),
            'classifier.pth is of another net: head.fc8.bias',
        ),
        (lambda m: dict(localisers=[m]), 'a localiser has a ConvHead, it needs a vgg_mm.Localis'),
        (dict(module=classifier()), 'a localiser has a ConvHead'),
        (dict(module=localiser(num_classes=3)), 'the nets differ in num_classes: 3 and 2'),
        (dict(topk=0), 'topk must be a positive integer, got 0'),
        (dict(max_pixels=1.5), 'max_pixels must be a positive integer'),
        (dict(threshold=-1), 'threshold must be a number from 0, got -1'),
        (dict(scales=(256, 0)), 'tta_model.scales: test scales Q must be positive integers'),
    ],
)
def test_wrong_arguments_are_one_clear_line(rated_by, change, message):
    arguments = dict(module=localiser(), classifiers=rated_by)
    arguments.update(change(rated_by[0]) if callable(change) else change)
    with pytest.raises((ValueError, OSError), match=message) as error:
        LocalisationTTA(**arguments)
    assert '\n' not in str(error.value)


@torch.no_grad()
def test_an_image_smaller_than_a_crop_is_one_clear_line(rated_by, photo):
    model = LocalisationTTA(localiser(), rated_by).eval()
    with pytest.raises(ValueError, match='smallest image that works .* is 64x64'):
        model.test_step(batch([photo], (50,)))


def test_classification_protocols_reject_localisers(rated_by):
    for protocol in ('dense', 'multi_crop'):
        with pytest.raises(ValueError, match='predicts boxes, not classes; vgg_mm.LocalisationTTA'):
            PaperTTA(localiser(), protocol=protocol)


def test_a_sample_without_label_gets_predictions(rated_by, photo):
    model = LocalisationTTA(localiser(), rated_by).eval()
    data = batch([photo], (64,))
    data['data_samples'] = [DataSample(metainfo=dict(ori_shape=photo.shape[:2]))]
    with torch.no_grad():
        (found,) = model.test_step(data)
    assert found.pred_instances.bboxes.shape == (2, 4) and 'pred_bboxes' not in found
