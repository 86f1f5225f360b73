"""Wrong annotation files and masks: a one-line error names the file, the fault and the fix."""

import json
import os
import re
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from tests.conftest import run_tool
from tests.downstream import need

need('mmdet')
need('mmseg')

from mmengine.config import Config  # noqa: E402
from mmengine.registry import DATASETS, MODELS, DefaultScope  # noqa: E402

from tests.downstream import boxes, masks  # noqa: E402
from vgg_mm.apis.config import check_data_folders, replace_data_root  # noqa: E402
from vgg_mm.apis.downstream import check_files  # noqa: E402
from vgg_mm.datasets import LoadImage  # noqa: E402
from vgg_mm.engine import AnnotationCheckHook  # noqa: E402
from vgg_mm.engine.hooks.annotation_check_hook import check_classes, check_mask  # noqa: E402

DETECTOR = boxes.CONFIGS / 'ssd300_vgg16_animals.py'
SEGMENTOR = masks.CONFIGS / 'fcn32s_vgg16_camvid.py'


def twice(content):
    """An export of a labelling site: the super-category has the name of the class and no boxes."""
    for one in content['annotations']:
        one['category_id'] = 1
    content['categories'] = [dict(id=0, name='raccoon'), dict(id=1, name='raccoon')]


def without_area(content):
    del content['annotations'][3]['area']


def with_value(part, key, value):
    def change(content):
        content[part][1][key] = value

    return change


def relative(content):
    for one in content['annotations']:
        one['bbox'] = [side / 1000 for side in one['bbox']]


def small(content):
    for one in content['images']:
        one['height'] = 31


def empty(content):
    content['annotations'] = []


def other_ids(content):
    for one in content['annotations']:
        one['category_id'] += 7


@pytest.mark.parametrize(
    'damage, message',
    [
        (twice, "2 categories named 'raccoon', id 0 with 0 boxes, id 1 with 10 boxes: .* remove"),
        (without_area, r"train.json: 1 of 10 annotations have no 'area' \(width .* is number 3"),
        (
            with_value('annotations', 'bbox', []),
            r'train.json: number 1 of annotations has bbox=\[\]; expected x, y, width and height',
        ),
        (with_value('annotations', 'bbox', [1, 2, float('nan'), 3]), r'has bbox=\[1, 2, nan, 3\]'),
        (with_value('annotations', 'area', None), 'has area=None; expected width . height of bb'),
        (with_value('images', 'width', '640'), "number 1 of images has width='640'; expected a nu"),
        (with_value('categories', 'name', 5), 'has name=5; expected the name of a class'),
        (
            relative,
            r'none of its 10 boxes, e.g. bbox=\[0.0.* bbox is x, y, width and height in pix',
        ),
        (small, 'none of its 8 images is left for training: .* 8 a side below 32 pixels'),
        (empty, 'none of its 8 images is left for training: 8 have no box of the classes'),
        (other_ids, 'none of its 10 boxes is of the classes'),
        (lambda content: content.pop('images'), "it has no list 'images'"),
        (lambda content: content.pop('annotations'), "it has no list 'annotations'"),
        (
            lambda content: content['categories'].reverse(),
            "lists the categories 'kangaroo', 'raccoon', and MMDetection .* are 'raccoon', 'kanga",
        ),
        (with_value('images', 'id', 0), '1 ids of images occur more than once, e.g. 0: number the'),
        (with_value('categories', 'id', 1), '1 ids of categories occur more than once, e.g. 1'),
    ],
    ids=[
        'twice', 'no area', 'no box', 'NaN', 'null', 'text', 'name', 'relative', 'small', 'empty',
        'other ids', 'no images', 'no annotations', 'order', 'image ids', 'category ids',
    ],
)  # fmt: skip
def test_annotation_files(damage, message, tmp_path):
    data = boxes.write_boxes(tmp_path / 'data')
    file = data / 'train.json'
    content = json.loads(file.read_text())
    damage(content)
    file.write_text(json.dumps(content))
    cfg = Config.fromfile(DETECTOR)
    replace_data_root(cfg, cfg.DATA_ROOT, str(data))
    if damage is twice:
        cfg.train_dataloader.dataset.metainfo = dict(classes=('raccoon',))
    with pytest.raises(ValueError, match=message) as error:
        check_data_folders(cfg, ['train_dataloader'])
    assert '\n' not in str(error.value) and 'train.json' in str(error.value)


def dataset_of(data, classes):
    cfg = Config.fromfile(DETECTOR)
    replace_data_root(cfg, cfg.DATA_ROOT, str(data))
    cfg.train_dataloader.dataset.metainfo = dict(classes=classes)
    with DefaultScope.overwrite_default_scope('mmdet'):
        return DATASETS.build(cfg.train_dataloader.dataset)


def test_classes_are_checked_in_mmdetections_tools(tmp_path):
    """The configs' hook checks the data set in MMDetection's own tools."""
    data = boxes.write_boxes(tmp_path / 'data', classes=('plate', 'plate'))
    with pytest.raises(ValueError, match=r'2 categories \(ids 1, 2\) for the 1 classes .*, plate'):
        check_classes(dataset_of(data, ('plate',)), 'training')
    with pytest.raises(ValueError, match=r"the text 'plate', .* classes=\('plate',\), with the"):
        check_classes(dataset_of(data, ('plate')), 'training')
    data = boxes.write_boxes(tmp_path / 'other')
    check_classes(dataset_of(data, boxes.CLASSES), 'training')
    with pytest.raises(ValueError, match="lists the categories 'raccoon', 'kangaroo', and MMDet"):
        check_classes(dataset_of(data, boxes.CLASSES[::-1]), 'training')


def test_a_test_set_without_annotations(tmp_path):
    """COCO's own has none; predictions for it are written for a server."""
    data = boxes.write_boxes(tmp_path / 'data')
    content = json.loads((data / 'val.json').read_text())
    content.pop('annotations')
    (data / 'info.json').write_text(json.dumps(content))
    sizes = boxes.as_options(boxes.NARROW_SSD)
    cfg = boxes.config('ssd300_vgg16_animals', boxes.NARROW_SSD)
    with DefaultScope.overwrite_default_scope('mmdet'):
        net = MODELS.build(cfg.model)
    meta = dict(dataset_meta=dict(classes=boxes.CLASSES))
    torch.save(dict(state_dict=net.state_dict(), meta=meta), tmp_path / 'net.pth')
    run_tool(
        'test.py', DETECTOR, 'net.pth', '--cfg-options', f'DATA_ROOT={data}', *sizes,
        'test_dataloader.dataset.ann_file=info.json', f'test_evaluator.ann_file={data}/info.json',
        'test_evaluator.format_only=True', 'test_evaluator.outfile_prefix=found', cwd=tmp_path,
    )  # fmt: skip
    found = json.loads((tmp_path / 'found.bbox.json').read_text())
    assert {one['image_id'] for one in found} <= {one['id'] for one in content['images']}


def test_the_place_of_a_data_set_whose_files_are_named_in_full(tmp_path, monkeypatch):
    data = boxes.write_boxes(tmp_path / 'data')
    monkeypatch.chdir(data / 'train')
    dataset = dict(type='CocoDataset', ann_file=str(data / 'train.json'), data_prefix=dict(img=''))
    check_files(dict(dataset, metainfo=dict(classes=boxes.CLASSES)))


def test_a_photo_rotated_by_exif(tmp_path):
    """A photo whose EXIF orientation does not match its annotation is an error."""
    photo = Image.new('RGB', (60, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(tmp_path / 'a.jpg', exif=exif)
    info = dict(img_path=str(tmp_path / 'a.jpg'), height=40, width=60)
    with pytest.raises(ValueError, match='a.jpg is 40x60, its annotation says 60x40: .* EXIF'):
        LoadImage()(dict(info))
    assert LoadImage(color_type='color_ignore_orientation')(dict(info))['img_shape'] == (40, 60)
    with pytest.raises(ValueError, match='meant for another image'):
        LoadImage()(dict(info, height=80))


def test_rotated_photos_in_mmdetections_tools(tmp_path):
    """``LoadImageFromFile`` of MMDetection's pipelines has no such check; the configs' hook has."""
    data = boxes.write_boxes(tmp_path / 'data')
    photo = Image.open(data / 'train/2.png')
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(data / 'train/2.png', format='JPEG', exif=exif)
    dataset = dataset_of(data, boxes.CLASSES)
    runner = SimpleNamespace(
        model=boxes.detector('ssd300_vgg16_animals', boxes.NARROW_SSD),
        train_dataloader=SimpleNamespace(dataset=dataset), val_loop=None,
    )  # fmt: skip
    with pytest.raises(ValueError, match='2.png is 75x111, its annotation says 111x75: .* EXIF'):
        AnnotationCheckHook().before_train(runner)
    dataset.pipeline.transforms[0].color_type = 'color_ignore_orientation'
    AnnotationCheckHook().before_train(runner)


def test_truncated_photos_name_the_option(tmp_path):
    data = boxes.write_boxes(tmp_path / 'data', dict(train=2, val=1))
    content = cv2.imencode('.jpg', np.full((75, 111, 3), 90, np.uint8))[1].tobytes()
    photo = data / 'train/0.png'
    whole = photo.read_bytes()
    photo.write_bytes(content[: len(content) // 3])
    options = ['--cfg-options', f'DATA_ROOT={data}', *boxes.as_options(boxes.NARROW_SSD)]
    done = run_tool('train.py', DETECTOR, *options, cwd=tmp_path, check=False)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    assert done.stderr.splitlines()[-1].endswith('; --broken-images skip skips it')
    assert '0.png' in done.stderr.splitlines()[-1]
    os.replace(photo, data / 'val/0.png')
    photo.write_bytes(whole)
    options.insert(0, '--broken-images=skip')
    done = run_tool('train.py', DETECTOR, *options, cwd=tmp_path, check=False)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert '0.png' in line and line.endswith('; it is in the validation set: remove or replace it')


LABELS = np.arange(12).reshape(3, 4) % 3


@pytest.mark.parametrize(
    'mask, message',
    [
        (np.zeros((3, 4, 3)), 'a.png is a picture in colours, 3x4x3: a mask has one channel'),
        (LABELS.T, r'a.png is 4x3 \(height x width\), its image 3x4'),
        (
            LABELS + 1,
            'a.png holds the labels 1, 2, 3: 3, e.g. at row 0, column 2, is none of the 3',
        ),
        (LABELS * 100, 'a.png holds the labels 0, 100, 200: 100, e.g. at row 0, column 1'),
    ],
)
def test_wrong_masks(mask, message):
    with pytest.raises(ValueError, match=message):
        check_mask(torch.from_numpy(mask), (3, 4), 3, 255, 'a.png')


def test_correct_masks():
    for mask in (LABELS, LABELS[None], np.where(LABELS == 0, 255, LABELS)):
        check_mask(torch.from_numpy(mask), (3, 4), 3, 255, 'a.png')


def test_masks_may_be_loaded_after_the_photo_was_rescaled(tmp_path):
    """The order of MMSegmentation's own test pipelines."""
    steps = [
        dict(type='LoadImageFromFile'), dict(type='Resize', scale=(96, 72), keep_ratio=True),
        dict(type='LoadAnnotations'), dict(type='PackSegInputs'),
    ]  # fmt: skip
    settings = dict(
        type='BaseSegDataset', data_root=str(masks.write_streets(tmp_path)), pipeline=steps,
        data_prefix=dict(img_path='img_dir/train', seg_map_path='ann_dir/train'),
        img_suffix='.png', metainfo=dict(classes=[str(number) for number in range(12)]),
    )  # fmt: skip
    with DefaultScope.overwrite_default_scope('mmseg'):
        dataset = DATASETS.build(settings)
    decode_head = SimpleNamespace(num_classes=12, ignore_index=255)
    run = SimpleNamespace(model=SimpleNamespace(decode_head=decode_head), logger=None)
    AnnotationCheckHook()._check(run, dataset, 'validation')
    decode_head.num_classes = 3
    with pytest.raises(ValueError, match='is none of the 3'):
        AnnotationCheckHook()._check(run, dataset, 'validation')


def streets(folder, change):
    data = masks.write_streets(folder / 'data')
    for file in sorted((data / 'ann_dir').rglob('*.png')):
        cv2.imwrite(str(file), change(cv2.imread(str(file), cv2.IMREAD_UNCHANGED)))
    return data


@pytest.mark.parametrize(
    'change, message',
    [
        (
            lambda m: np.where(m == 2, 255, 0),
            'contain only the label 0 and the ignored 255 .* 0 and',
        ),
        (lambda m: np.stack([m] * 3, -1), 'ann_dir/train/0.png is a picture in colours, 61x85x3'),
        (lambda m: m[:40], r'ann_dir/train/0.png is 40x85 \(height x width\), its image 61x85'),
        (lambda m: m + 9, 'ann_dir/train/0.png holds the labels 9, 10, 11, 12, 20: '),
    ],
    ids=['0 and 255', 'colours', 'size', 'labels'],
)
def test_training_on_wrong_masks(change, message, tmp_path):
    """The tool stops with a one-line error before the first iteration."""
    data = streets(tmp_path, change)
    options = [
        '--cfg-options', f'DATA_ROOT={data}', *boxes.as_options(masks.narrow('fcn32s_vgg16')),
        'model.decode_head.ignore_index=255', 'model.data_preprocessor.seg_pad_val=255',
    ]  # fmt: skip
    done = run_tool('train.py', SEGMENTOR, *options, cwd=tmp_path, check=False)
    assert done.returncode == 1 and 'Traceback' not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert re.search(message, line), line
    assert 'Epoch(train)' not in done.stdout


def test_one_score_for_two_classes():
    with pytest.raises(ValueError, match=r'num_classes=2.* for one score .* out_channels=1'):
        masks.fcn(head=dict(num_classes=1))
    loss = dict(type='CrossEntropyLoss', use_sigmoid=True)
    net = masks.fcn(head=dict(num_classes=2, out_channels=1, threshold=0.5, loss_decode=loss))
    assert net.decode_head.conv_seg.out_channels == 1


def test_class_weights():
    """The loss equals torch's: the mean over labelled pixels, weighted by class."""
    weights = [1.0, 2.0, 0.5, 3.0, 1.0]
    loss = dict(type='CrossEntropyLoss', avg_non_ignore=True, class_weight=weights)
    net = masks.fcn(head=dict(loss_decode=loss)).train()
    data = masks.batch((64, 96), (64, 96))
    data = net.data_preprocessor(data, training=True)
    labels = torch.stack([one.gt_sem_seg.data[0] for one in data['data_samples']])
    scores = torch.randn(2, 5, 64, 96)
    found = net.decode_head.loss_by_feat(scores, data['data_samples'])['loss_ce']
    wanted = F.cross_entropy(scores, labels, torch.tensor(weights), ignore_index=255)
    torch.testing.assert_close(found, wanted)
