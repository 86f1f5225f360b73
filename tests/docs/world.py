"""Small data and narrow nets under the names that the pages use."""

import shutil

import cv2
import numpy as np
import torch
from mmengine.config import Config

from tests.apis import published
from tests.checkpoints import source_nets
from tests.conftest import ROOT, run_tool
from tests.datasets.test_box_datasets import xml
from vgg_mm.evaluation import TestRecord, add_records

#: The sizes of source_nets.NARROW: 1/16 of the width, seven classes.
CLASSES = source_nets.NARROW.classes
NARROW = (
    'model.backbone.base_channels=4',
    'model.head.in_channels=32',
    'model.head.fc_channels=16',
    f'model.head.num_classes={CLASSES}',
)
ONE_PROCESS = tuple(f'{split}_dataloader.num_workers=0' for split in ('train', 'val', 'test'))

#: Absolute paths and URLs of the pages -> names in the folder where their commands run.
PLACES = {
    '/data/imagenet_cls_loc': 'data/imagenet_cls_loc',
    '/data/imagenet-shards': 'data/shards',
    '/data/imagenet': 'data/imagenet',
    '/data/coco': 'data/boxes',
    '/data/real': 'data',
    '/ssd/imagenet.lmdb': 'data/imagenet.lmdb',
    'torchvision://vgg16': 'torchvision_vgg16.pth',
    'torchvision://vgg11': 'torchvision_vgg11.pth',
    'https://storage.googleapis.com/tensorflow/keras-applications/vgg16/': '',
}

#: Names that pages use for class folders, and for a trained classifier.
PHOTO_FOLDERS = (
    'data/imagenet',
    'data/clothing',
    'data/cifar10',
    'FOLDER',
    'OTHER_FOLDER',
    'photos',
    'IMAGES',
)
CHECKPOINTS = (
    'CHECKPOINT',
    'vgg16.pth',
    'weights/vgg16.pth',
    'epoch_16.pth',
    'CLASSIFIER_256',
    'CLASSIFIER_384',
    'work_dirs/finetune_FOLDER/FOLDER/epoch_30.pth',
)
#: A test result for the tables.
TESTED = TestRecord(
    net='D', width=64, scale=(256, 512), test_scales=(256, 384, 512), protocol='dense', images=20,
    wrong={1: 5, 5: 1}, data='data/imagenet/val', imagenet=False,
)  # fmt: skip
NOTOP = 'vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5'
LOCALISERS = ('LOCALISER_256', 'LOCALISER_384')


def in_places(text):
    """A page's text with the paths of this module."""
    for name, here in PLACES.items():
        text = text.replace(name, here)
    return text


def write_photos(folder, sizes=((240, 300), (300, 236))):
    """Two photos of each class, one of each size, in ``train``, ``val`` and ``test``."""
    rng = np.random.default_rng(0)
    for split in ('train', 'val', 'test'):
        for label in range(CLASSES):
            target = folder / split / f'class_{label}'
            target.mkdir(parents=True)
            for number, (height, width) in enumerate(sizes):
                coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                photo = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
                cv2.imwrite(str(target / f'{number}.jpg'), photo)


def write_photos_with_boxes(folder):
    """Photos with boxes in ILSVRC's layout."""
    data, notes = (folder / 'ILSVRC' / part / 'CLS-LOC' for part in ('Data', 'Annotations'))
    rng = np.random.default_rng(1)
    for label in range(CLASSES):
        word = f'class_{label}'
        for name in (f'train/{word}/{word}_1', f'val/ILSVRC2012_val_{label:08}'):
            for top in (data, notes):
                (top / name).parent.mkdir(parents=True, exist_ok=True)
            coarse = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            cv2.imwrite(str(data / f'{name}.JPEG'), cv2.resize(coarse, (300, 260)))
            note = xml(word, box=(40, 30, 200, 190), size=(300, 260))
            (notes / f'{name}.xml').write_text(note)


def write_animals(folder):
    """Photos of two classes with boxes in COCO's form."""
    from tests.test_localisation import generate

    rng = np.random.default_rng(2)
    for split, count in (('train', 14), ('val', 7)):
        generate(folder, split, count, rng)


def write_checkpoint(path, config, *options):
    """An untrained narrow net in a checkpoint like that of ``tools/train.py``, with its config."""
    from mmpretrain.registry import MODELS

    cfg = Config.fromfile(ROOT / config)
    settings = dict(option.split('=') for option in (*NARROW, *options))
    cfg.merge_from_dict({key: int(value) for key, value in settings.items()})
    net = MODELS.build(cfg.model)
    net.init_weights()
    classes = [f'class_{label}' for label in range(CLASSES)]
    meta = dict(cfg=cfg.pretty_text, dataset_meta=dict(classes=classes), epoch=1, iter=1)
    torch.save(dict(state_dict=net.state_dict(), meta=meta), path)


def make_world(folder):
    """Write all files that the pages only read."""
    write_photos(folder / 'photos')
    write_photos_with_boxes(folder / 'cls_loc')
    write_animals(folder / 'animals')
    shutil.copy(folder / 'photos/train/class_0/0.jpg', folder / 'photo.jpg')
    write_checkpoint(folder / 'net.pth', 'configs/vgg/vgg16_jitter_imagenet.py')
    write_checkpoint(folder / 'localiser.pth', 'configs/localisation/vgg16_pcr_s256_imagenet.py')
    for name in ('vgg11', 'vgg16'):
        net, _ = source_nets.torchvision_net(name)
        torch.save(net.state_dict(), folder / f'torchvision_{name}.pth')
    for layers in (16, 19):
        content = source_nets.caffe_file(source_nets.caffe_weights(f'vgg{layers}'))
        (folder / f'VGG_ILSVRC_{layers}_layers.caffemodel').write_bytes(content)
    published.keras(folder / 'vgg16_weights_tf_dim_ordering_tf_kernels.h5')
    published.keras_notop(folder / NOTOP)
    write_posteriors(folder, 'vgg16', 'D')
    write_posteriors(folder, 'vgg19', 'E')
    run_tool('export.py', 'net.pth', 'net.onnx', cwd=folder)
    (folder / 'clothing').symlink_to('photos')
    run_tool('finetune.py', 'clothing', '--weights', NOTOP, '--epochs', '1', cwd=folder)


def write_posteriors(folder, name, net):
    from tests.apis.test_ensemble import info, random_net

    labels = np.arange(20) % CLASSES
    protocols = ('dense', 'multi_crop', 'dense+multi_crop')
    rng = np.random.default_rng(len(net))
    random_net(rng, labels, CLASSES, protocols, info=info(net)).save(folder / f'{net}.npz')


def enter(world, folder):
    """A folder for the blocks of one page, with links to the files of :func:`make_world`."""
    links = {
        'tools': ROOT / 'tools',
        'configs': ROOT / 'configs',
        'docs': ROOT / 'docs',
        'studies': ROOT / 'studies',
        'data/imagenet_cls_loc': world / 'cls_loc',
        'data/animals': world / 'animals',
        'photo.jpg': world / 'photo.jpg',
        'PHOTO': world / 'photo.jpg',
        'IMAGE': world / 'photo.jpg',
        'D.npz': world / 'D.npz',
        'E.npz': world / 'E.npz',
        'net.onnx': world / 'net.onnx',
        'work_dirs/finetune_clothing': world / 'work_dirs/finetune_clothing',
        'work_dirs/vgg16_jitter_imagenet/posteriors.npz': world / 'D.npz',
        'work_dirs/vgg19_jitter_imagenet/posteriors.npz': world / 'E.npz',
        **dict.fromkeys(PHOTO_FOLDERS, world / 'photos'),
        **dict.fromkeys(CHECKPOINTS, world / 'net.pth'),
        **dict.fromkeys(LOCALISERS, world / 'localiser.pth'),
        **{
            path.name: path
            for pattern in ('torchvision_*.pth', '*.caffemodel', '*.h5')
            for path in world.glob(pattern)
        },
    }
    for name, target in links.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(target)
    add_records(folder / 'work_dirs/vgg16_jitter_imagenet', [TESTED])
    chain = folder / 'work_dirs/study/small/clothing/chains/A.py'
    chain.parent.mkdir(parents=True)
    config = str(ROOT / 'configs/vgg/vgg11_jitter_clothing.py')
    chain.write_text(f'stages = [dict(name="A", config={config!r})]\n')
    last = folder / 'work_dirs/finetune_FOLDER/FOLDER/last_checkpoint'
    last.write_text('work_dirs/finetune_FOLDER/FOLDER/epoch_30.pth')
    return folder
