"""Runs all tools with every shipped detector and segmentor: python -m tests.downstream.matrix

The tools of this package and those of MMDetection and MMSegmentation run for two iterations on
generated data; a table of the results is printed at the end. This takes an hour for all configs;
names of configs as arguments select some of them. Nets are as narrow as in the tests unless
``--full-width`` is given. MMSegmentation's ``analyze_logs.py`` needs seaborn, which neither package
requires.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import cv2
from mmengine.config import Config

from tests import preloaded
from tests.conftest import ROOT
from tests.downstream import boxes, masks
from vgg_mm.apis.config import replace_data_root

PRELOADED = ['mmdet.apis', 'mmseg.apis', 'vgg_mm.models.downstream', 'vgg_mm.apis.inference']

#: Part of an error message -> cell of the table, for what does not run on a CPU.
ON_GPUS = {
    'roi_pool_forward_impl: implementation for device cpu not found': 'RoIPool: GPU',
    'only available': 'GPU',  # mmengine's AmpOptimWrapper
}

INFERENCE = """
import sys
from {package}.apis import {inferencer}, {init}, {infer}

config, checkpoint, image = sys.argv[1:]
inferencer = {inferencer}(config, checkpoint, device='cpu')
inferencer(image, out_dir='inferred')
{infer}({init}(config, checkpoint, device='cpu'), image)
"""
MMDET = dict(inferencer='DetInferencer', init='init_detector', infer='inference_detector')
MMSEG = dict(inferencer='MMSegInferencer', init='init_model', infer='inference_model')


def own_config(name, folder, full_width):
    """A user's config based on a shipped one: two generated training photos, one test photo."""
    detection = (boxes.CONFIGS / f'{name}.py').is_file()
    cfg = Config.fromfile((boxes if detection else masks).CONFIGS / f'{name}.py')
    data = folder / 'data'
    if detection:
        image = (write_voc if 'voc' in name else write_coco)(cfg, data)
        options = boxes.NARROW_FASTER_RCNN if 'faster_rcnn' in name else boxes.NARROW_SSD
        options = boxes.NARROW_FPN if 'fpn' in name else options
        if 'ssd512' in name:
            options = dict(options)
            for key in ('model.neck.out_channels', 'model.bbox_head.in_channels'):
                options[key] = (32, 4, 8, 8, 8, 8, 8)
    else:
        masks.write_streets(data, 2, 1)
        image = data / 'img_dir/val/0.png'
        options = masks.narrow(name.replace('_heavy', '').replace('_poly', ''))
        if 'voc' in name:
            as_voc(data)
        for loader in ('train', 'val', 'test'):
            dataset = cfg[f'{loader}_dataloader'].dataset
            for one in dataset.get('datasets', [dataset]):
                one.data_root = str(data)
    if not full_width:
        cfg.merge_from_dict(dict(options))
    for loader in ('train', 'val', 'test'):
        cfg[f'{loader}_dataloader'].update(num_workers=0, persistent_workers=False, batch_size=1)
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    cfg.load_from = cfg.default_hooks.classifier_init.checkpoint = None
    cfg.default_hooks.logger.interval = 1
    cfg.dump(folder / 'own.py')
    return cfg.default_scope, folder / 'own.py', image


def write_coco(cfg, data):
    """Write photos with boxes and adapt the config to them; return a photo for prediction."""
    classes = tuple((cfg.get('metainfo') or dict(classes=boxes.CLASSES))['classes'])
    # The second photo has no boxes and is filtered out.
    boxes.write_boxes(data, dict(train=3, val=1), classes)
    for split, loaders in (('train', ['train']), ('val', ['val', 'test'])):
        for loader in loaders:
            cfg[f'{loader}_dataloader'].dataset.update(
                data_root=str(data), metainfo=dict(classes=classes), ann_file=f'{split}.json',
                data_prefix=dict(img=f'{split}/'),
            )  # fmt: skip
    cfg.val_evaluator.ann_file = cfg.test_evaluator.ann_file = str(data / 'val.json')
    head = cfg.model.get('roi_head', cfg.model).bbox_head
    head.num_classes = len(classes)
    return data / 'val/0.png'


def write_voc(cfg, data):
    boxes.write_voc(data, ('dog', 'person'))
    replace_data_root(cfg, cfg.DATA_ROOT, str(data))
    for year, split in (('2007', 'trainval'), ('2012', 'trainval'), ('2007', 'test')):
        path = data / f'VOC{year}/ImageSets/Main/{split}.txt'
        path.write_text(f'{year}_{split}_0\n')
    return data / 'VOC2007/JPEGImages/2007_test_0.jpg'


def as_voc(data):
    """Copy streets to VOC's layout: a training photo of VOC, one of SBD, one for validation."""
    for split, names in (('train', ['train', 'aug']), ('val', ['val'])):
        for number, name in enumerate(names):
            photo = cv2.imread(str(data / f'img_dir/{split}/{number}.png'))
            mask = cv2.imread(str(data / f'ann_dir/{split}/{number}.png'), cv2.IMREAD_UNCHANGED)
            masks_of = 'SegmentationClassAug' if name == 'aug' else 'SegmentationClass'
            for folder in ('JPEGImages', masks_of, 'ImageSets/Segmentation'):
                (data / folder).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(data / f'JPEGImages/{name}.jpg'), photo)
            cv2.imwrite(str(data / masks_of / f'{name}.png'), mask)
            (data / f'ImageSets/Segmentation/{name}.txt').write_text(f'{name}\n')


def commands(scope, config, image, folder):
    """Yield (column, words of the command) in the order in which the commands must run."""
    package = __import__(scope)
    tools = Path(package.__file__).parent / '.mim/tools'
    analysis = tools / 'analysis_tools'
    inference = folder / 'inference.py'
    names = dict(mmdet=MMDET, mmseg=MMSEG)[scope]
    inference.write_text(INFERENCE.format(package=scope, **names))
    yield 'train', [ROOT / 'tools/train.py', config, '--work-dir', 'run']
    yield 'train --amp', [ROOT / 'tools/train.py', config, '--work-dir', 'amp', '--amp']
    checkpoint = folder / 'run/epoch_1.pth'
    test = [ROOT / 'tools/test.py', config, checkpoint]
    yield 'test', test
    yield 'test --amp', [*test, '--amp']
    yield 'test --tta', [*test, '--tta']
    yield 'predict', [ROOT / 'tools/predict.py', image, 'run', '--heatmap', 'pictures']
    yield 'train (theirs)', [tools / 'train.py', config, '--work-dir', 'theirs']
    yield 'train --amp (theirs)', [tools / 'train.py', config, '--work-dir', 'x', '--amp']
    out = 'found.pkl' if scope == 'mmdet' else 'found'
    yield 'test (theirs)', [tools / 'test.py', config, checkpoint, '--out', out]
    yield 'test --tta (theirs)', [tools / 'test.py', config, checkpoint, '--tta']
    yield 'inferencer, demo', [inference, config, checkpoint, image]
    shape = ['--shape', '64', '96'] if scope == 'mmseg' else ['--num-images', '1']
    yield 'get_flops', [analysis / 'get_flops.py', config, *shape]
    if scope == 'mmdet':
        yield 'analyze_results', [analysis / 'analyze_results.py', config, out, 'shown',
                                  '--topk', '1']  # fmt: skip
    (log,) = sorted((folder / 'run').glob('*/vis_data/scalars.json'))[:1] or [Path('no log')]
    # Their default style, 'dark', does not exist in matplotlib.
    plot = ['plot_curve', log, '--style', 'default'] if scope == 'mmdet' else [log]
    yield 'analyze_logs', [analysis / 'analyze_logs.py', *plot, '--keys', 'loss', '--out', 'l.png']
    yield 'browse_dataset', [analysis / 'browse_dataset.py', config, '--output-dir', 'browsed',
                             '--not-show']  # fmt: skip


def run(name, full_width, only):
    """Run the commands for a config; yield the cells of its row."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        scope, config, image = own_config(name, folder, full_width)
        for column, words in commands(scope, config, image, folder):
            if only and column not in only:
                continue
            if folder / 'run/epoch_1.pth' in words and not (folder / 'run/epoch_1.pth').is_file():
                yield column, 'no checkpoint'  # the net cannot be trained on this machine
                continue
            done = preloaded.run([str(word) for word in words], folder)
            said = done.stdout + done.stderr
            cell = 'ok' if done.returncode == 0 else 'FAILS'
            if done.returncode:
                cell = next((cell for part, cell in ON_GPUS.items() if part in said), cell)
            print(f'{name}: {column}: {cell}', flush=True)
            if cell == 'FAILS':
                print(*said.splitlines()[-12:], sep='\n', flush=True)
            yield column, cell


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('configs', nargs='*', help='names, without .py (default: all)')
    parser.add_argument('--full-width', action='store_true')
    parser.add_argument('--only', nargs='+', metavar='COLUMN', help='train, "test --amp", ...')
    args = parser.parse_args()
    preloaded._context.set_forkserver_preload([*preloaded.PRELOADED, *PRELOADED])
    paths = [*sorted(boxes.CONFIGS.glob('*.py')), *sorted(masks.CONFIGS.glob('*.py'))]
    names = args.configs or [path.stem for path in paths]
    table = {name: dict(run(name, args.full_width, args.only)) for name in names}
    columns = list(dict.fromkeys(column for row in table.values() for column in row))
    print('', f'| config | {" | ".join(columns)} |', '|---' * (len(columns) + 1) + '|', sep='\n')
    for name, row in table.items():
        print(f'| {name} | {" | ".join(row.get(column, "") for column in columns)} |')
    sys.exit(any(cell == 'FAILS' for row in table.values() for cell in row.values()))


if __name__ == '__main__':
    main()
