"""The table of commands."""

from importlib import import_module
from typing import NamedTuple

from vgg_mm_cli.command import Command


class Entry(NamedTuple):
    """A command of ``vgg-mm``.

    Args:
        module: Where it is.
        summary: Its line in --help.
        name: In the module; the script in tools that does the same is called like it.
    """

    module: str
    summary: str
    name: str = 'COMMAND'

    @property
    def script(self) -> str:
        return f'{self.name.lower()}.py'

    def load(self) -> Command:
        return getattr(import_module(self.module), self.name)


def _entry(group: str, name: str, summary: str) -> Entry:
    return Entry(f'vgg_mm_cli.commands.{group}', summary, name)


#: Name -> command, in the order of --help.
COMMANDS = {
    'predict': _entry(
        'photos', 'PREDICT', 'the classes of photos, with maps of where they are seen'
    ),
    'app': _entry('photos', 'APP', 'a page in the browser that shows what a net sees in a photo'),
    'finetune': _entry('training', 'FINETUNE', 'fit trained weights to your own photos'),
    'train': _entry('training', 'TRAIN', 'train a net from a config'),
    'config': _entry('training', 'PRINT_CONFIG', 'a config as one file, to read or to edit'),
    'chain': _entry(
        'training', 'TRAIN_CHAIN', 'train nets one from the other, as in the paper, and test them'
    ),
    'test': _entry('training', 'TEST', "a checkpoint's errors, by the paper's protocols"),
    'ensemble': _entry('nets', 'ENSEMBLE', 'the errors of several nets together'),
    'features': _entry('photos', 'EXTRACT_FEATURES', 'feature vectors of photos'),
    'probe': _entry('photos', 'LINEAR_PROBE', 'a linear SVM on feature vectors'),
    'convert': _entry('nets', 'CONVERT_WEIGHTS', "other libraries' weights as a checkpoint"),
    'export': _entry('nets', 'EXPORT', 'ONNX, TorchScript, safetensors, torchvision weights'),
    'check': _entry('photos', 'CHECK_DATASET', 'what is wrong with a data set, ahead of training'),
    'rgb-statistics': _entry(
        'photos', 'RGB_STATISTICS', 'mean RGB and principal components of photos'
    ),
    'prepare': _entry('photos', 'PREPARE_DATA', 'write the embedded digits as a data set'),
    'plot': _entry('training', 'PLOT_RUN', 'curves of trainings'),
    'table': _entry('nets', 'PAPER_TABLE', "the paper's Tables 3 to 7, of your own results"),
    'nets': _entry('nets', 'NET_TABLE', "the paper's nets: layers, parameters, multiply-adds"),
    'demo': _entry('training', 'DEMO', 'train and test two nets on the embedded digits'),
    'build-mmcv-ops': _entry('nets', 'BUILD_MMCV_OPS', "compile mmcv's operators, for detectors"),
}
