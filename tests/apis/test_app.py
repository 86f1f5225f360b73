"""What the browser app computes, draws and rejects; tests/app tests the page itself."""

import math

import cv2
import numpy as np
import pytest
from PIL import Image

from vgg_mm.apis import predict
from vgg_mm.apis.app.explorer import CROPS, MAP, VIEWS, WINDOWS, Explorer, Look
from vgg_mm.apis.inference.prediction import ScoreMap, field_centres


@pytest.fixture(scope='module')
def explorer():
    return Explorer(device='cpu')


def a_look(posteriors, q=256, height=256, width=384):
    rows, columns = (
        field_centres(n, 7, side) for n, side in zip(posteriors.shape[1:], (height, width))
    )
    return Look(
        path='',
        weights='',
        photo=np.zeros((480, 720, 3), np.uint8),
        posterior=posteriors.mean((1, 2)),
        score_map=ScoreMap(posteriors, rows, columns, q),
        classes=[str(i) for i in range(len(posteriors))],
        rescaled=(height, width),
        window=224,
        crop=224,
        grid=(5, 5),
        seconds=0.0,
        pace=1e-6,
        notices=[],
    )


def test_results_equal_those_of_predict(explorer, spot, net_a):
    look = explorer.look(spot, str(net_a), 64)
    assert 0 < look.seconds_to_compare() < math.inf
    results = explorer.compare(look)
    for ours, protocol in (('dense', 'dense'), ('multi_crop', 'multi_crop')):
        (expected,) = predict(spot, net_a, protocol=protocol, scales=[64], device='cpu')
        np.testing.assert_allclose(results[ours][0], expected.posterior, rtol=1e-5)
    (both,) = predict(spot, net_a, protocol='dense+multi_crop', scales=[64], device='cpu')
    np.testing.assert_allclose(results['both'][0], both.posterior, rtol=1e-5)
    np.testing.assert_allclose(look.posterior, results['dense'][0], rtol=1e-5)
    assert look.order()[0] == look.posterior.argmax()
    (kept,) = predict(spot, net_a, scales=[64], score_maps=True, device='cpu')
    np.testing.assert_allclose(look.score_map.posteriors, kept.score_map.posteriors, rtol=1e-5)


def test_windows_and_crops_lie_on_the_photo():
    """At Q = 256 a photo of 256 x 384 has windows of 224, 32 apart, and crops from edge to edge."""
    look = a_look(np.full((2, 2, 6), 0.5, np.float32))
    windows = look.windows()
    assert (len(windows), len(windows[0])) == (2, 6)
    pixels = np.array([[(w.top * 256, w.left * 384) for w in row] for row in windows])
    np.testing.assert_allclose(pixels[..., 0], [[0] * 6, [32] * 6], atol=1e-9)
    np.testing.assert_allclose(pixels[..., 1], [np.arange(6) * 32] * 2, atol=1e-9)
    assert windows[1][5].bottom == pytest.approx(1) and windows[1][5].right == pytest.approx(1)
    crops = look.crops()
    assert len(crops) == 25 and {min(c.top for c in crops), min(c.left for c in crops)} == {0}
    assert max(c.right for c in crops) == max(c.bottom for c in crops) == 1
    # A corner of the photo belongs to the window in that corner.
    assert look.position(0, 0) == (0, 0) and look.position(720, 480) == (1, 5)
    assert look.position(720 * 0.5, 480 * 0.5) in {(0, 2), (0, 3), (1, 2), (1, 3)}
    assert '2 x 6 windows of 224 x 224 pixels' in look.caption(WINDOWS)
    assert '25 crops' in look.caption(CROPS)


def test_estimated_time_is_proportional_to_pixels():
    look = a_look(np.full((2, 2, 6), 0.5, np.float32))
    assert look.seconds_to_compare() == pytest.approx(1e-6 * (256 * 384 + 25 * 224 * 224))


def test_colours_do_not_depend_on_the_map():
    """A posterior of 0.5 has the same colour, whatever else the map contains."""
    posteriors = np.full((3, 2, 6), 0.5, np.float32)
    posteriors[1], posteriors[2] = 0.01, 0.49
    weak = a_look(posteriors).draw(1)
    strong = a_look(posteriors).draw(0)
    assert abs(strong.astype(int) - weak).max() > 60
    place = (5, 700)  # away from the dots
    colour = cv2.applyColorMap(np.full((1, 1), 128, np.uint8), cv2.COLORMAP_VIRIDIS)[0, 0, ::-1]
    np.testing.assert_allclose(strong[place], 0.6 * colour, atol=2)


def test_selected_window_is_marked():
    look = a_look(np.full((2, 2, 6), 0.5, np.float32))
    for view in VIEWS:
        assert (look.draw(0, view) != look.draw(0, view, (1, 4))).any()
    changed = (look.draw(0, MAP) != look.draw(0, MAP, (1, 4))).any(-1).nonzero()
    assert changed[1].min() >= round(4 * 32 / 384 * 720) - 3  # nothing left of the window


def test_invalid_input(explorer, spot, net_a, tmp_path):
    (tmp_path / 'broken.jpg').write_bytes(b'no image')
    with pytest.raises(ValueError, match='^broken.jpg cannot be read as an image$'):
        explorer.look(str(tmp_path / 'broken.jpg'), str(net_a), 64)
    whole = tmp_path / 'whole.png'
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 90, 3), np.uint8)).save(whole)
    (tmp_path / 'cut.png').write_bytes(whole.read_bytes()[:400])
    with pytest.raises((OSError, ValueError), match='^(?!.*/).*cut.png'):
        explorer.look(str(tmp_path / 'cut.png'), str(net_a), 64)
    Image.new('1', (9000, 9000)).save(tmp_path / 'huge.png')
    with pytest.raises(ValueError, match='huge.png has 9000 x 9000 pixels; at most 50 million'):
        explorer.look(str(tmp_path / 'huge.png'), str(net_a), 64)
    with pytest.raises(ValueError, match='Q=32 is smaller than the crop'):
        explorer.look(spot, str(net_a), 32)
    with pytest.raises(OSError, match='nothing.pth'):
        explorer.look(spot, 'nothing.pth', 64)
