"""Score maps compared with gradients, independent upsampling and the place of a bright spot."""

import warnings

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from mmengine.config import Config
from mmpretrain.models.classifiers import ImageClassifier

from tests.conftest import A_DIGITS
from vgg_mm.apis import Prediction, predict
from vgg_mm.apis.inference.load import build_model
from vgg_mm.apis.inference.prediction import (
    ScoreMap,
    check_has_map,
    compute_score_map,
    field_centres,
)


def net(arch, window, **backbone):
    """Every weight is 1 / inputs, every bias 0: a score is a mean over its receptive field."""
    model = ImageClassifier(
        backbone=dict(type='vgg_mm.VGG', arch=arch, base_channels=1, **backbone),
        head=dict(
            type='vgg_mm.ConvHead', num_classes=2, in_channels=8, fc_channels=2,
            kernel_size=window,
        ),
        data_preprocessor=dict(type='ClsDataPreprocessor', mean=[0] * 3, std=[1] * 3),
    ).eval()  # fmt: skip
    for name, parameter in model.named_parameters():
        value = 0 if name.endswith('bias') else 1 / parameter[0].numel()
        torch.nn.init.constant_(parameter, value)
    return model


@pytest.mark.parametrize('arch, window', [('A', 7), ('A', 2), ('D', 7), ('C', 1), ('B-5x5', 2)])
def test_centres_equal_those_of_the_gradients(arch, window):
    model = net(arch, window).double()
    # Max pooling passes the gradient to one pixel of a window; average pooling to all.
    for name in [n for n, _ in model.backbone.named_modules() if n.startswith('pool')]:
        setattr(model.backbone, name, torch.nn.AvgPool2d(2, 2))
    height, width = 32 * (window + 9) + 5, 32 * (window + 10) + 31
    x = torch.rand(1, 3, height, width, dtype=torch.float64, requires_grad=True)
    scores = model.head.score_map(model.backbone(x))
    row, column = 4, 5  # its receptive field lies inside the image
    scores[0, 0, row, column].backward()
    gradient = x.grad[0, 0].abs()
    rows = field_centres(scores.shape[2], window, height) * height - 0.5
    columns = field_centres(scores.shape[3], window, width) * width - 0.5
    for centre, sums in ((rows[row], gradient.sum(1)), (columns[column], gradient.sum(0))):
        seen = sums.nonzero().flatten()
        assert seen[0] > 0 and seen[-1] < len(sums) - 1
        assert (seen[0] + seen[-1]).item() / 2 == centre
        pixels = torch.arange(len(sums), dtype=torch.float64)
        assert (sums * pixels).sum() / sums.sum() == pytest.approx(centre, abs=1e-6)


@pytest.mark.parametrize('corner', [(60, 90), (60, 430), (230, 90), (230, 430), (150, 260)])
def test_map_is_largest_at_the_object(corner):
    """The object is a bright spot; the score of the net's first class is brightness."""
    model = net('A', 2)
    with torch.no_grad():
        model.head.fc8.weight[0] *= 0.02  # avoids the limits of float32
        model.head.fc8.weight[1] = 0
    photo = np.zeros((300, 520, 3), np.uint8)
    top, left = corner
    photo[top - 10 : top + 10, left - 10 : left + 10] = 255
    view = cv2.resize(photo, (832, 480))  # Q = 480, not the size of the photo
    found = compute_score_map(model, torch.from_numpy(view).permute(2, 0, 1), 2**30)
    assert found.q == 480 and found.posteriors.shape == (2, 14, 25)
    np.testing.assert_allclose(found.posteriors.sum(0), 1, atol=1e-6)
    score = np.log(found.posteriors[0] / found.posteriors[1])
    over_photo = found._replace(posteriors=score[None]).upsampled(0, *photo.shape[:2])
    weight = over_photo / over_photo.sum()
    y, x = np.indices(weight.shape)
    # A cell of 32 pixels at Q is 20 pixels of the photo: the map is accurate to half a cell.
    assert (
        abs((weight * y).sum() - (top - 0.5)) < 10 and abs((weight * x).sum() - (left - 0.5)) < 10
    )
    assert over_photo[top, left] > 0.99 * over_photo.max()


def test_large_images_in_strips_have_the_same_map():
    model = net('A', 2)
    for shape in ((3, 200, 460), (3, 460, 200)):
        view = torch.randint(0, 256, shape, dtype=torch.uint8)
        whole, strips = (compute_score_map(model, view, pixels) for pixels in (2**30, 40_000))
        for one, other in zip(whole, strips):
            np.testing.assert_allclose(one, other, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 5), st.integers(1, 5), st.integers(1, 7), st.integers(0, 31),
    st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_upsampling_pixel_by_pixel(rows, columns, window, rest, height, width, seed):
    """Bilinear between centres and constant outside them, for any sizes."""
    values = np.random.default_rng(seed).random((1, rows, columns)).astype(np.float32)
    lengths = [32 * (n + window - 1) + rest for n in (rows, columns)]
    centres = [field_centres(n, window, length) for n, length in zip((rows, columns), lengths)]
    found = ScoreMap(values, *centres, min(lengths)).upsampled(0, height, width)

    def place(pixel, size, length, count):
        """Position on the map of a pixel of the photo, by way of the rescaled image."""
        on_rescaled = (pixel + 0.5) * length / size - 0.5
        return np.clip((on_rescaled - (32 * window / 2 - 0.5)) / 32, 0, count - 1)

    for y in range(height):
        for x in range(width):
            i, j = place(y, height, lengths[0], rows), place(x, width, lengths[1], columns)
            top, left = min(int(i), max(rows - 2, 0)), min(int(j), max(columns - 2, 0))
            bottom, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            upper = values[0, top, left] * (1 - j + left) + values[0, top, right] * (j - left)
            lower = values[0, bottom, left] * (1 - j + left) + values[0, bottom, right] * (j - left)
            assert found[y, x] == pytest.approx(upper * (1 - i + top) + lower * (i - top), abs=1e-5)


def test_nets_without_score_map_are_rejected():
    for model in (net('A', 2, with_last_pool=False), torch.nn.Module()):
        with pytest.raises(ValueError, match='score maps need a vgg_mm.VGG with its last pooling'):
            check_has_map(model)


def prediction(shape, names, positions=(3, 4), image='photo.jpg', label=0):
    rng = np.random.default_rng(0)
    posteriors = torch.tensor(rng.normal(size=(len(names), *positions))).softmax(0).numpy()
    centres = [(np.arange(n) + 0.5) / n for n in positions]
    return Prediction(
        image=image, labels=list(range(len(names))), classes=list(names),
        scores=np.sort(posteriors.mean((1, 2)))[::-1].tolist(), shown=label,
        shown_class=names[label], photo=rng.integers(0, 256, (*shape, 3), np.uint8),
        score_map=ScoreMap(posteriors, *centres, 384), protocol='dense', scales=(256, 384),
    )  # fmt: skip


LONG = ['a class with a very long name, like those of ImageNet', 'b$c$d\n', '猫', '_x', 'five']


@pytest.mark.parametrize('shape', [(300, 400), (1500, 700), (40, 900), (900, 30), (1, 1)])
@pytest.mark.parametrize('names', [LONG, ['0', '1']])
def test_texts_are_inside_the_picture_and_do_not_overlap(shape, names):
    figure = prediction(shape, names, image='x/' * 90 + 'end\udcff\n.jpg').figure()
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='Glyph')
        canvas.draw()
    texts = [*figure.texts]
    for panel in figure.axes:
        texts += [*panel.texts, panel._left_title]
        for axis in (panel.xaxis, panel.yaxis) if panel.axison else ():
            texts += [axis.label, *axis.get_ticklabels()] if axis.get_visible() else []
    texts = [text for text in texts if text.get_text() and text.get_visible()]
    boxes = {text: text.get_window_extent(canvas.get_renderer()) for text in texts}
    shown = [t.get_text() for t in texts]
    assert any('end\\udcff' in text for text in shown) and any('%' in text for text in shown)
    for text, box in boxes.items():
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 + 1, text.get_text()
        assert box.y1 <= figure.bbox.y1 + 1, text.get_text()
        for other, place in boxes.items():
            assert other is text or not box.shrunk(0.9, 0.9).overlaps(place), (text, other)


def test_photo_and_map_have_the_same_size_and_extent():
    found = prediction((300, 400), LONG)
    photo, score_map, _, _ = found.figure().axes
    images = [*photo.images, *score_map.images]
    assert len(images) == 3
    assert {tuple(image.get_extent()) for image in images} == {(0, 400, 300, 0)}
    assert photo.get_position().size == pytest.approx(score_map.get_position().size)
    (dots,) = score_map.collections
    assert sorted({x for x, _ in dots.get_offsets()}) == pytest.approx([50, 150, 250, 350])
    expected = found.score_map.upsampled(0, *images[2].get_array().shape)
    np.testing.assert_array_equal(images[2].get_array(), expected)


def test_single_position_is_not_drawn_as_a_map():
    figure = prediction((300, 400), LONG, positions=(1, 1)).figure()
    caption = ' '.join(figure.texts[-1].get_text().split())
    assert caption.startswith('No map: at Q = 384 the score map is a single position')
    assert [len(panel.images) for panel in figure.axes[:2]] == [1, 1]


def test_predictions_are_drawn_in_a_notebook(tmp_path):
    """The map of the given class is shown, at the largest Q, over the given image."""
    cfg = Config.fromfile(A_DIGITS)
    cfg.model.backbone.base_channels = 4
    cfg.model.head.update(in_channels=32, fc_channels=16)
    model = build_model(cfg)
    model.init_weights()
    meta = dict(cfg=cfg.pretty_text, dataset_meta=dict(classes=tuple('abcdefghij')))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), tmp_path / 'w.pth')
    image = np.random.default_rng(0).integers(0, 256, (80, 120, 3), np.uint8)
    options = dict(score_maps=True, heatmap=tmp_path / 'maps', shown_class='c', top=3)
    (found,) = predict(image, tmp_path / 'w.pth', **options)
    np.testing.assert_array_equal(found.photo, image[..., ::-1])
    assert found.score_map.q == 96 and found.score_map.posteriors.shape == (10, 2, 3)
    drawn = cv2.imdecode(np.frombuffer(found._repr_png_(), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(drawn, cv2.imread(str(tmp_path / 'maps' / 'image 0.png')))
    assert "'c' by position" in [panel.get_title(loc='left') for panel in found.figure().axes]
    with pytest.raises(ValueError, match='no score map: predict'):
        predict(image, tmp_path / 'w.pth')[0].figure()
    with pytest.raises(ValueError, match='no picture of a broken image: gone'):
        Prediction('x', error='gone').figure()
