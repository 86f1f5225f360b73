"""The table of commands."""

from importlib import import_module
from typing import NamedTuple

from vgg_mm_cli.command import Command


class Entry(NamedTuple):
    """A command of ``vgg-mm``: the module with its ``COMMAND``, and what --help says of it."""

    module: str
    summary: str

    @property
    def script(self) -> str:
        """The file in tools that does the same."""
        return f'{self.module.rpartition(".")[2]}.py'

    def load(self) -> Command:
        return import_module(self.module).COMMAND


def _entry(script: str, summary: str) -> Entry:
    return Entry(f'vgg_mm_cli.commands.{script}', summary)


#: Name -> command, in the order of --help. A new one is a module and an entry.
COMMANDS = {
    'predict': _entry('predict', 'the classes of photos, with maps of where they are seen'),
    'app': _entry('app', 'a page in the browser that shows what a net sees in a photo'),
    'finetune': _entry('finetune', "fit trained weights to one's own photos"),
    'train': _entry('train', 'train a net from a config'),
    'chain': _entry('train_chain', 'train nets one from the other, as in the paper, and test them'),
    'test': _entry('test', "a checkpoint's errors, by the paper's protocols"),
    'ensemble': _entry('ensemble', 'the errors of several nets together'),
    'features': _entry('extract_features', 'feature vectors of photos'),
    'probe': _entry('linear_probe', 'a linear SVM on feature vectors'),
    'convert': _entry('convert_weights', "other libraries' weights as a checkpoint"),
    'export': _entry('export', 'ONNX, TorchScript, safetensors, torchvision weights'),
    'check': _entry('check_dataset', 'what is wrong with a data set, ahead of training'),
    'rgb-statistics': _entry('rgb_statistics', "mean RGB and principal components of photos"),
    'prepare': _entry('prepare_data', 'write the embedded digits as a data set'),
    'plot': _entry('plot_run', 'curves of trainings'),
    'table': _entry('paper_table', "the paper's Tables 3 to 7, of one's own results"),
    'nets': _entry('net_table', "the paper's nets: layers, parameters, multiply-adds"),
    'demo': _entry('demo', 'train and test two nets on the embedded digits'),
    'build-mmcv-ops': _entry('build_mmcv_ops', "compile mmcv's operators, for detectors"),
}  # fmt: skip
