"""MMDetection's and MMSegmentation's own tools, and predict.py, on nets trained by this package."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from tests.conftest import ROOT, heed_ctrl_c, run_tool
from tests.downstream import need

need('mmdet')
need('mmseg')

import mmdet  # noqa: E402
from mmdet.apis import DetInferencer, inference_detector, init_detector  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.registry import MODELS, DefaultScope  # noqa: E402
from mmseg.apis import MMSegInferencer, inference_model, init_model  # noqa: E402

from tests.downstream import boxes, masks  # noqa: E402
from tests.downstream.test_export import one_score, saved  # noqa: E402
from vgg_mm.apis.inference import predict_files, report  # noqa: E402
from vgg_mm.apis.inference.checkpoint_config import checkpoint_config  # noqa: E402
from vgg_mm.checkpoints import load_checkpoint  # noqa: E402
from vgg_mm.datasets import LoadImage  # noqa: E402

DETECTOR = boxes.CONFIGS / 'ssd300_vgg16_animals.py'
SEGMENTOR = masks.CONFIGS / 'fcn32s_vgg16_camvid.py'


def own_config(path, base, data, options):
    """A user's config based on a shipped one, with other data and a narrower net."""
    cfg = Config.fromfile(base)
    cfg.merge_from_dict(dict(options))
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        cfg[name].update(num_workers=0, persistent_workers=False)
        cfg[name].dataset.data_root = str(data)
    for name in ('val_evaluator', 'test_evaluator'):
        if 'ann_file' in cfg[name]:
            cfg[name].ann_file = str(data / 'val.json')
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    cfg.dump(path)
    return path


@pytest.fixture(scope='module')
def detector(tmp_path_factory):
    """Config, checkpoint and data of an SSD300 trained by this package's tool."""
    folder = tmp_path_factory.mktemp('detector')
    data = boxes.write_boxes(folder / 'data', dict(train=4, val=2))
    config = own_config(folder / 'own.py', DETECTOR, data, boxes.NARROW_SSD)
    run_tool('train.py', config, '--work-dir', 'run', cwd=folder)
    return config, folder / 'run/epoch_1.pth', data


@pytest.fixture(scope='module')
def segmentor(tmp_path_factory):
    folder = tmp_path_factory.mktemp('segmentor')
    data = masks.write_streets(folder / 'data')
    options = masks.narrow('fcn32s_vgg16')
    config = own_config(folder / 'own.py', SEGMENTOR, data, options)
    run_tool('train.py', config, '--work-dir', 'run', cwd=folder)
    return config, folder / 'run/epoch_1.pth', data


def run_script(package, script, *args, cwd):
    """Run a tool that is installed with MMDetection or MMSegmentation."""
    path = Path(package.__file__).parent / '.mim/tools' / script
    if not path.is_file():
        pytest.skip(f'{path} is not installed')
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', path, *map(str, args)],
        cwd=cwd, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize('source', ['config and checkpoint', 'checkpoint'])
def test_det_inferencer(source, detector, tmp_path):
    """A folder and an array of pixels, such as a video frame, give the same boxes."""
    config, checkpoint, data = detector
    model = str(config) if source == 'config and checkpoint' else None
    with DefaultScope.overwrite_default_scope('mmdet'):
        inferencer = DetInferencer(model, str(checkpoint), device='cpu', show_progress=False)
        found = inferencer(str(data / 'val'), out_dir=str(tmp_path), no_save_pred=False)
        frame = cv2.imread(str(data / 'val/0.png'))
        alone = inferencer(frame)
    assert len(found['predictions']) == 2
    assert {p.name for p in (tmp_path / 'vis').iterdir()} == {'0.png', '1.png'}
    assert json.loads((tmp_path / 'preds/0.json').read_text()).keys() >= {'bboxes', 'scores'}
    by_name = json.loads((tmp_path / 'preds/0.json').read_text())
    np.testing.assert_allclose(alone['predictions'][0]['bboxes'], by_name['bboxes'], atol=1e-3)


def test_inference_detector(detector):
    """The function called by the image and video demos takes files and arrays."""
    config, checkpoint, data = detector
    model = init_detector(str(config), str(checkpoint), device='cpu')
    file = str(data / 'val/0.png')
    by_name = inference_detector(model, [file, file])
    by_pixels = inference_detector(model, cv2.imread(file))
    torch.testing.assert_close(by_name[0].pred_instances.bboxes, by_pixels.pred_instances.bboxes)


def test_analyze_results(detector, tmp_path):
    config, checkpoint, _ = detector
    run_script(mmdet, 'test.py', config, checkpoint, '--out', 'found.pkl', cwd=tmp_path)
    run_script(
        mmdet, 'analysis_tools/analyze_results.py', config, 'found.pkl', 'shown', '--topk', '1',
        cwd=tmp_path,
    )  # fmt: skip
    assert list((tmp_path / 'shown').rglob('*.png'))


@pytest.mark.parametrize('source', ['config', 'checkpoint', 'run'])
def test_predict(source, detector, segmentor, tmp_path):
    """predict.py prints a table, draws pictures, writes results and lists broken images."""
    for number, (config, checkpoint, data) in enumerate((detector, segmentor)):
        images = data / ('val', 'img_dir/val')[number]
        (images / 'broken.png').write_bytes(b'')
        done = run_tool(
            'predict.py', images, checkpoint.parent if source == 'run' else checkpoint,
            *(('--config', config) if source == 'config' else ()),
            '--heatmap', f'shown{number}', '--out', f'found{number}.json', cwd=tmp_path,
        )  # fmt: skip
        (images / 'broken.png').unlink()
        assert 'empty image file' in done.stdout
        written = json.loads((tmp_path / f'found{number}.json').read_text())
        rows = written['predictions']
        assert written['complete'] and 'error' in rows[2]
        assert [Path(row['image']).name for row in rows] == ['0.png', '1.png', 'broken.png']
        drawn = sorted((tmp_path / f'shown{number}').iterdir())
        assert [p.name for p in drawn] == ['0.png', '1.png']
        assert [row.get('picture') for row in rows] == [
            *(f'shown{number}/{p.name}' for p in drawn), None
        ]  # fmt: skip
        photo, shown = cv2.imread(str(images / '0.png')), cv2.imread(str(drawn[0]))
        assert shown.shape[0] == photo.shape[0]
    assert sum(one['share'] for one in rows[0]['found']) == pytest.approx(1)


def test_predict_with_one_score(tmp_path):
    _, checkpoint = saved(tmp_path, 'fcn32s_vgg16_camvid', one_score())
    content = torch.load(checkpoint)
    classes = dict(classes=('road', 'sky'), palette=[[90, 90, 90], [0, 0, 250]])
    content['meta']['dataset_meta'] = classes
    torch.save(content, checkpoint)
    cv2.imwrite(str(tmp_path / 'a.png'), np.random.default_rng(0).integers(0, 256, (64, 96, 3)))
    run_tool('predict.py', 'a.png', checkpoint, '--out', 'found.json', cwd=tmp_path)
    (row,) = json.loads((tmp_path / 'found.json').read_text())['predictions']
    assert sum(one['share'] for one in row['found']) == pytest.approx(1)


def test_predict_on_grey_images(tmp_path):
    """The picture under the boxes is the photo, not mirrored."""
    load = dict(type='LoadImageFromFile', color_type='grayscale')
    options = {
        **boxes.NARROW_SSD, 'model.backbone.in_channels': 1,
        'model.data_preprocessor.mean': [114.0], 'model.data_preprocessor.std': [58.0],
        'model.data_preprocessor.bgr_to_rgb': False, 'test_dataloader.dataset.pipeline.0': load,
    }  # fmt: skip
    _, checkpoint = saved(tmp_path, 'ssd300_vgg16_animals', options)
    content = torch.load(checkpoint)
    for name, tensor in content['state_dict'].items():
        if 'cls_convs' in name and name.endswith('bias'):
            tensor.view(-1, len(boxes.CLASSES) + 1)[:, -1] = 1e3  # all is background: no boxes
    torch.save(content, checkpoint)
    photo = np.zeros((90, 150), np.uint8)
    photo[:, :75] = 250
    cv2.imwrite(str(tmp_path / 'half.png'), photo)
    run_tool('predict.py', 'half.png', checkpoint, '--heatmap', 'shown', cwd=tmp_path)
    shown = cv2.imread(str(tmp_path / 'shown/half.png'))
    assert np.median(shown[:, : shown.shape[1] // 2]) > 200
    assert np.median(shown[:, shown.shape[1] // 2 :]) < 50


def test_an_image_that_the_pipeline_cannot_rescale(detector, tmp_path):
    """It is listed, as one that cannot be read, and the others are done."""
    _, checkpoint = saved(tmp_path, 'faster_rcnn_vgg16_animals', boxes.NARROW_FASTER_RCNN)
    shutil.copytree(detector[2] / 'val', tmp_path / 'photos')
    cv2.imwrite(str(tmp_path / 'photos/0_strip.png'), np.full((1, 3000, 3), 120, np.uint8))
    done = run_tool('predict.py', 'photos', checkpoint, '--out', 'found.json', cwd=tmp_path)
    assert 'Traceback' not in done.stderr
    rows = json.loads((tmp_path / 'found.json').read_text())['predictions']
    assert [Path(row['image']).name for row in rows if 'error' in row] == ['0_strip.png']
    assert len(rows) == 3 and 'resize' in rows[1]['error']


@pytest.mark.parametrize('ending', ['csv', 'JSON'])
def test_photos_of_the_same_name(ending, detector, tmp_path):
    """Photos of the same name in different folders get separate pictures and results."""
    config, checkpoint, data = detector
    for number in range(2):
        (tmp_path / f'photos/{number}').mkdir(parents=True)
        shutil.copy(data / f'val/{number}.png', tmp_path / f'photos/{number}/a.png')
    out = f'found.{ending}'
    run_tool(
        'predict.py', 'photos', checkpoint, '--heatmap', 'shown', '--out', out, cwd=tmp_path
    )  # fmt: skip
    names = [str(p.relative_to(tmp_path / 'shown')) for p in sorted(tmp_path.glob('shown/*/*'))]
    assert names == ['0/a.png', '1/a.png']
    text = (tmp_path / out).read_text()
    if ending == 'csv':
        images = [row['image'] for row in csv.DictReader(text.splitlines())]
    else:
        images = [row['image'] for row in json.loads(text)['predictions']]
    assert list(dict.fromkeys(images)) == ['photos/0/a.png', 'photos/1/a.png']


@pytest.mark.parametrize('kind, how', [('detector', 'SIGINT'), ('segmentor', 'SIGTERM')])
def test_interrupted_predictions_are_kept(kind, how, request, tmp_path):
    """After Ctrl-C or SIGTERM, table and file have the finished images, and say so."""
    _, checkpoint, data = request.getfixturevalue(kind)
    photo = data / ('val/0.png' if kind == 'detector' else 'img_dir/val/0.png')
    (tmp_path / 'photos').mkdir()
    for number in range(1000):
        (tmp_path / f'photos/{number}.png').symlink_to(photo)
    process = subprocess.Popen(
        [
            sys.executable, ROOT / 'tools/predict.py', 'photos', checkpoint,
            '--heatmap', 'shown', '--out', 'found.json',
        ],
        cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=heed_ctrl_c,
    )  # fmt: skip
    while not (tmp_path / 'shown/2.png').is_file() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(getattr(signal, how))
    out, err = process.communicate()
    assert process.returncode == 130 and 'Traceback' not in err, err
    written = json.loads((tmp_path / 'found.json').read_text())
    done = len(written['predictions'])
    assert 2 <= done < 1000 and not written['complete']
    assert f'{done:,} of 1,000 images' in out and 'results are in found.json' in out
    assert out.count('photos/') == done


def test_predictions_are_saved_regularly(detector, tmp_path, monkeypatch):
    """The file is written about every minute, so that it survives a kill."""
    _, checkpoint, data = detector
    out, left_by_kills, seconds = tmp_path / 'found.csv', [], 0
    read = LoadImage.transform

    def look_first(self, results):
        nonlocal seconds
        seconds += report.SAVE_EVERY
        left_by_kills.append(out.read_text() if out.exists() else '')
        return read(self, results)

    monkeypatch.setattr(report, 'time', SimpleNamespace(monotonic=lambda: seconds))
    monkeypatch.setattr(LoadImage, 'transform', look_first)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        predict_files(
            [str(data / 'val')] * 2, str(checkpoint), str(out), top=5, heatmap=None,
            shown_class=None, device='cpu',
        )  # fmt: skip
    assert ['0.png' in text for text in left_by_kills] == [False, True, True, True]
    assert '1.png' in left_by_kills[2]


def test_configs_in_checkpoints_are_read_as_text(detector, segmentor, tmp_path):
    """They may only use types from a fixed list, which covers all shipped configs."""
    for path in (*boxes.CONFIGS.glob('*.py'), *masks.CONFIGS.glob('*.py')):
        cfg = Config.fromfile(path)
        found = checkpoint_config(cfg.pretty_text)
        assert found.default_scope == cfg.default_scope
        assert found.model.backbone == cfg.model.backbone
        with DefaultScope.overwrite_default_scope(cfg.default_scope), torch.device('meta'):
            MODELS.build(found.model)
        assert found.test_dataloader.dataset.pipeline == cfg.test_dataloader.dataset.pipeline
    content = torch.load(detector[1], weights_only=False)
    text = content['meta']['cfg']
    for old, new in (
        ("type='SSDNeck'", "type='subprocess.run'"),
        ("type='nms'", "type='print(1)'"),
        ("type='Resize'", "type='Albu'"),
    ):
        assert old in text
        content['meta']['cfg'] = text.replace(old, new)
        torch.save(content, tmp_path / 'other.pth')
        image = detector[2] / 'val/0.png'
        done = run_tool('predict.py', image, 'other.pth', cwd=tmp_path, check=False)
        assert done.returncode == 1 and 'Traceback' not in done.stderr
        asked = new.partition('=')[2]
        assert f'it refers to {asked}, which is built from config files only' in done.stderr
        assert '--config FILE' in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    'tool, message',
    [
        (('predict.py', 'IMAGE', 'CHECKPOINT', '--protocol', 'multi_crop', '--class', 'raccoon'),
         '--protocol, --class: only for classifiers, and this is a detector or segmentor'),
        (('extract_features.py', 'CHECKPOINT', 'IMAGE', '--out', 'f.npz'),
         'is a detector (MMDetection), not a classifier'),
    ],
    ids=['options', 'features'],
)  # fmt: skip
def test_classifier_options_and_tools_are_rejected(tool, message, detector, tmp_path):
    _, checkpoint, data = detector
    words = {'IMAGE': data / 'val', 'CHECKPOINT': checkpoint}
    words = [words.get(word, word) for word in tool]
    done = run_tool(*words, cwd=tmp_path, check=False)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert message in done.stderr.splitlines()[-1]


def test_mmseg_inferencer(segmentor, tmp_path):
    config, checkpoint, data = segmentor
    with DefaultScope.overwrite_default_scope('mmseg'):
        inferencer = MMSegInferencer(str(config), str(checkpoint), device='cpu')
        folder = str(data / 'img_dir/val')
        found = inferencer(folder, out_dir=str(tmp_path), show=False)
        alone = inferencer(cv2.imread(f'{folder}/0.png'))
    assert [mask.shape for mask in found['predictions']] == [(61, 85)] * 2
    assert len(list((tmp_path / 'vis').iterdir())) == 2
    assert (alone['predictions'] == found['predictions'][0]).all()


def test_inference_model(segmentor):
    config, checkpoint, data = segmentor
    model = init_model(str(config), str(checkpoint), device='cpu')
    found = inference_model(model, str(data / 'img_dir/val/0.png'))
    assert found.pred_sem_seg.shape == (61, 85)


def test_the_best_checkpoint_is_by_the_first_metric_except_pixel_accuracy(detector, segmentor):
    assert (detector[1].parent / 'best_coco_bbox_mAP_epoch_1.pth').is_file()
    assert (segmentor[1].parent / 'best_mIoU_epoch_1.pth').is_file()


def test_fine_tuning_a_detector_to_other_classes(detector, tmp_path):
    _, checkpoint, _ = detector
    data = boxes.write_boxes(tmp_path / 'data', dict(train=2, val=1), ('fox', 'owl', 'elk'))
    config = own_config(tmp_path / 'own.py', DETECTOR, data, boxes.NARROW_SSD)
    classes = "('fox','owl','elk')"
    options = [f'{n}_dataloader.dataset.metainfo.classes={classes}' for n in ('train', 'val')]
    options += ['model.bbox_head.num_classes=3', f'load_from={checkpoint}']
    options += ['optim_wrapper.optimizer.lr=0']
    done = run_tool(
        'train.py', config, '--no-validate', '--work-dir', 'run', '--cfg-options', *options,
        cwd=tmp_path,
    )  # fmt: skip
    assert 'for another number of classes (2): bbox_head.cls_convs.0.0, bbox_head.' in done.stdout
    old, new = (
        load_checkpoint(p)['state_dict'] for p in (checkpoint, tmp_path / 'run/epoch_1.pth')
    )
    assert new['bbox_head.cls_convs.0.0.weight'].shape[0] == 4 * 4
    same = [name for name in new if name in old and torch.equal(old[name], new[name])]
    assert {n.split('.')[1] for n in new.keys() - same} == {'cls_convs'}


def test_fine_tuning_a_segmentor_to_other_classes(segmentor, tmp_path):
    config, checkpoint, _ = segmentor
    classes = "('a','b','c','d')"
    options = [f'{n}_dataloader.dataset.metainfo.classes={classes}' for n in ('train', 'val')]
    options += [f'{n}_dataloader.dataset.metainfo.palette=[]' for n in ('train', 'val')]
    options += ['model.decode_head.num_classes=4', f'load_from={checkpoint}']
    done = run_tool(
        'train.py', config, '--no-validate', '--work-dir', 'run', '--cfg-options', *options,
        cwd=tmp_path,
    )  # fmt: skip
    assert 'for another number of classes (11): decode_head.conv_seg' in done.stdout


def test_checkpoint_of_another_net_is_rejected(detector, tmp_path):
    config, checkpoint, _ = detector
    options = ['model.backbone.fc_channels=8', 'model.neck.in_channels=(32,8)']
    options += ['model.neck.out_channels=(32,8,8,8,8,8)', f'load_from={checkpoint}']
    options += ['model.bbox_head.in_channels=(32,8,8,8,8,8)', 'model.bbox_head.num_classes=2']
    done = run_tool('train.py', config, '--cfg-options', *options, cwd=tmp_path, check=False)
    assert 'the checkpoint is of another net: backbone.fc6' in done.stderr
