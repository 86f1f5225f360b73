"""Short forms of the commands for detectors and segmentors.

A config is replaced by that of the same net for small data, with a narrower net; the results are
in the work directory of the page's config.
"""

from pathlib import Path

from tests.docs.world import ONE_PROCESS
from tests.downstream import boxes, masks

#: The config that replaces CONFIG on the pages.
CONFIG = 'configs/downstream/segmentation/fcn32s_vgg16_camvid.py'
SHORT = (
    'train_cfg.max_epochs=1', 'train_cfg.val_interval=1', 'train_dataloader.batch_size=2',
    'default_hooks.logger.interval=1', 'randomness.seed=0', *ONE_PROCESS,
)  # fmt: skip

#: Net -> the net whose weights it starts from.
BEFORE = {'fcn16s_vgg16_voc12aug': 'fcn32s_vgg16_voc12aug'}
BEFORE['fcn8s_vgg16_voc12aug'] = 'fcn16s_vgg16_voc12aug'


def small(config):
    """(config for small data, settings for a narrower net)."""
    path = Path(config)
    if path.parent.name == 'segmentation':
        name = path.stem.replace('voc12aug', 'camvid')
        settings = (*boxes.as_options(masks.narrow(name)), 'DATA_ROOT=data/streets')
    else:
        name = path.stem.replace('coco', 'animals').replace('mine', 'animals')
        narrow = boxes.NARROW_SSD if name.startswith('ssd') else boxes.NARROW_FASTER_RCNN
        settings = (*boxes.as_options(narrow), 'DATA_ROOT=data/boxes')
    return f'configs/downstream/{path.parent.name}/{name}.py', settings


def shorten(words, folder, add_settings):
    """Words of train.py or test.py for a config in configs/downstream."""
    work_dir = f'work_dirs/{Path(words[0]).stem}'
    config, settings = small(words[0])
    rest = words[1:]
    if rest and not rest[0].startswith('--'):
        rest = [(folder / work_dir / 'last_checkpoint').read_text(), *rest[1:]]
    before = BEFORE.get(Path(words[0]).stem)
    if before:
        last = (folder / 'work_dirs' / before / 'last_checkpoint').read_text()
        settings = (*settings, f'load_from={last}')
    short = [config, *rest, '--work-dir', work_dir]
    return add_settings(short, (*settings, *SHORT))
