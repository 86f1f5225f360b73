"""Exported segmentors and SSD in onnxruntime, compared with MMSegmentation and MMDetection."""

import json

import numpy as np
import onnxruntime
import pytest
import torch
from mmengine.registry import MODELS, DefaultScope

from tests.conftest import run_tool
from tests.downstream import need

need('mmdet')
need('mmseg')

from mmengine.config import Config  # noqa: E402

from tests.downstream import boxes, masks  # noqa: E402
from vgg_mm.apis.export import export  # noqa: E402

STREETS = tuple(f'class {i}' for i in range(11))


def saved(folder, name, options):
    """Model of a shipped config, narrow and with random weights, and the file of its checkpoint."""
    path = (boxes.CONFIGS if 'animals' in name else masks.CONFIGS) / f'{name}.py'
    cfg = Config.fromfile(path)
    cfg.merge_from_dict(dict(options))
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model).eval()
    for key, parameter in model.named_parameters():
        if 'upscore' not in key and 'scale' not in key:
            fan = parameter[0].numel() if parameter.ndim > 1 else 100
            # In trained nets, box offsets are small and their exponentials are close to 1.
            factor = 0.1 if 'bbox_head' in key else 1
            torch.nn.init.normal_(parameter, std=factor * (2 / fan) ** 0.5)
    classes = boxes.CLASSES if 'animals' in name else STREETS
    meta = dict(cfg=cfg.pretty_text, dataset_meta=dict(classes=classes))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), folder / 'epoch_1.pth')
    return model, folder / 'epoch_1.pth'


def one_score():
    """Options of FCN-32s for two classes and one score."""
    loss = dict(_delete_=True, type='CrossEntropyLoss', use_sigmoid=True)
    head = dict(num_classes=2, out_channels=1, threshold=0.3, loss_decode=loss)
    return {
        **masks.narrow('fcn32s_vgg16'),
        **{f'model.decode_head.{key}': value for key, value in head.items()},
    }


def run_onnx(path, images):
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    (found,) = session.run(None, {'image': images})
    return found, session.get_modelmeta().custom_metadata_map


def photos(*shape):
    """Random photos in BGR, the channel order of the authors' weights and of the exported nets."""
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)


def step(model, bgr):
    """Results of the model's test_step() for images as loaded by the pipelines."""
    images = [torch.from_numpy(one.copy()) for one in bgr]
    size = bgr.shape[2:]
    if hasattr(model, 'decode_head'):
        from mmseg.structures import SegDataSample as Sample
    else:
        from mmdet.structures import DetDataSample as Sample
    meta = dict(ori_shape=size, img_shape=size, scale_factor=(1.0, 1.0))
    samples = [Sample(metainfo=meta) for _ in images]
    with torch.inference_mode():
        return model.test_step(dict(inputs=images, data_samples=samples))


@pytest.mark.parametrize('output', ['scores', 'posterior'])
@pytest.mark.parametrize('name', ['fcn32s', 'fcn8s', 'deeplab_largefov'])
def test_segmentors(name, output, tmp_path, capsys):
    """For a fixed image size that is no multiple of a stride, and for all multiples of 32."""
    model, checkpoint = saved(tmp_path, f'{name}_vgg16_camvid', masks.narrow(f'{name}_vgg16'))
    dynamic = output == 'posterior'
    out = str(tmp_path / 'net.onnx')
    export(str(checkpoint), out, output=output, dynamic=dynamic, size=None if dynamic else 109)
    bgr = photos(2, 3, *((96, 160) if dynamic else (109, 109)))
    found, facts = run_onnx(out, bgr)
    wanted = torch.stack([one.seg_logits.data for one in step(model, bgr)])
    wanted = wanted.softmax(1) if output == 'posterior' else wanted
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4 * float(wanted.abs().max()))
    assert json.loads(facts['classes']) == list(STREETS)
    assert facts['channel_order'] == 'BGR'
    assert 'largest difference from the net' in capsys.readouterr().out


@pytest.mark.parametrize('output', ['scores', 'posterior'])
def test_one_score_for_two_classes(output, tmp_path):
    model, checkpoint = saved(tmp_path, 'fcn32s_vgg16_camvid', one_score())
    export(str(checkpoint), str(tmp_path / 'net.onnx'), output=output, size=64)
    bgr = photos(1, 3, 64, 64)
    found, _ = run_onnx(str(tmp_path / 'net.onnx'), bgr)
    (sample,) = step(model, bgr)
    posterior = torch.from_numpy(found if output == 'posterior' else 1 / (1 + np.exp(-found)))
    assert posterior.std() > 1e-4
    torch.testing.assert_close(posterior[0], sample.seg_logits.data, atol=1e-4, rtol=1e-4)


def test_ssd(tmp_path):
    """The graph's output has every box that MMDetection finds, with its score and class."""
    model, checkpoint = saved(tmp_path, 'ssd300_vgg16_animals', boxes.NARROW_SSD)
    run_tool('export.py', checkpoint, 'net.onnx', cwd=tmp_path)
    bgr = photos(1, 3, 300, 300)
    found, facts = run_onnx(str(tmp_path / 'net.onnx'), bgr)
    assert found.shape == (1, 8732, 4 + 2) and 'before nms' in facts['output']
    (sample,) = step(model, bgr)
    best = sample.pred_instances[:20]
    assert len(best) == 20
    for box, score, label in zip(best.bboxes, best.scores, best.labels):
        distance = np.abs(found[0, :, :4] - box.numpy()).max(1)
        distance += np.abs(found[0, :, 4 + label] - score.item())
        assert distance.min() < 1e-2


@pytest.mark.parametrize(
    'name, options, message',
    [
        ('faster_rcnn_vgg16_animals', {}, 'two-stage detector: .*RoIAlign and nms; MMDepl'),
        ('ssd300_vgg16_animals', dict(size=512), '^size: the boxes of this net .* 300x300'),
        ('ssd300_vgg16_animals', dict(output='scores'), "^output='scores': of this net .* boxes"),
        ('ssd300_vgg16_animals', dict(to='torchvision'), 'no classifier: torchvision has no such'),
    ],
)  # fmt: skip
def test_what_cannot_be_exported(name, options, message, tmp_path):
    narrow = boxes.NARROW_SSD if 'ssd' in name else boxes.NARROW_FASTER_RCNN
    _, checkpoint = saved(tmp_path, name, narrow)
    with pytest.raises(ValueError, match=message) as error:
        export(str(checkpoint), str(tmp_path / 'net.onnx'), **options)
    assert '\n' not in str(error.value) and not (tmp_path / 'net.onnx').exists()


@pytest.mark.parametrize('out', ['net.onnx', 'net.safetensors'])
@pytest.mark.parametrize(
    'name, narrow',
    [
        ('fcn32s_vgg16_camvid', masks.narrow('fcn32s_vgg16')),
        ('ssd300_vgg16_animals', boxes.NARROW_SSD),
    ],
)
def test_the_checkpoint_is_read_once(name, narrow, out, tmp_path, monkeypatch):
    """The checkpoint is read only once, even if it is given as the work directory."""
    _, checkpoint = saved(tmp_path, name, narrow)
    (tmp_path / 'last_checkpoint').write_text(str(checkpoint))
    read, seen = torch.load, []
    monkeypatch.setattr(torch, 'load', lambda *args, **kw: seen.append(args) or read(*args, **kw))
    export(str(tmp_path), str(tmp_path / out))
    assert len(seen) == 1


def test_weights_as_safetensors(tmp_path):
    from safetensors.torch import load_file

    model, checkpoint = saved(tmp_path, 'fcn32s_vgg16_camvid', masks.narrow('fcn32s_vgg16'))
    export(str(checkpoint), str(tmp_path / 'net.safetensors'))
    found = load_file(tmp_path / 'net.safetensors')
    assert found.keys() == model.state_dict().keys()
    torch.testing.assert_close(found['decode_head.fc6.weight'], model.decode_head.fc6.weight)
    # Also of detectors that have no graph.
    model, checkpoint = saved(tmp_path, 'faster_rcnn_vgg16_animals', boxes.NARROW_FASTER_RCNN)
    export(str(checkpoint), str(tmp_path / 'detector.safetensors'))
    assert load_file(tmp_path / 'detector.safetensors').keys() == model.state_dict().keys()


def test_tracing_by_others(tmp_path):
    """The heads can be traced, as by MMDeploy and mmengine's get_flops, for other image sizes."""
    net = masks.fcn(2).decode_head.requires_grad_(False)
    maps = [torch.rand(1, c, 2 * s, 3 * s) for c, s in ((16, 4), (32, 2), (32, 1))]
    traced = torch.jit.trace(lambda *x: net(x), maps, check_trace=False)
    other = [torch.rand(1, m.shape[1], m.shape[2] * 2, m.shape[3] * 3) for m in maps]
    torch.testing.assert_close(traced(*maps), net(maps), rtol=1e-4, atol=1e-4)
    assert traced(*other).shape[-2:] == (2 * 64, 3 * 96)
