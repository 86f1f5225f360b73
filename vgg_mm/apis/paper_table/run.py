"""Finding the test results below folders, and running missing tests."""

import os
import re
import shlex
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Optional

from vgg_mm.apis.config import data_root_of, read_config, replace_data_root
from vgg_mm.apis.errors import Kind, kind_of, one_line
from vgg_mm.apis.subprocess_tools import message_of, run_tool, tool_command
from vgg_mm.apis.tables import say
from vgg_mm.apis.test_results import TEST_SUFFIX, describe
from vgg_mm.architectures import BASE_CHANNELS
from vgg_mm.checkpoints import LAST_CHECKPOINT, named_checkpoint
from vgg_mm.datasets.transforms.rescale import paper_test_scales
from vgg_mm.evaluation import RECORDS_FILE, TestRecord, is_imagenet, read_records
from vgg_mm.evaluation.paper_results import TABLE_3, TABLE_4, TABLE_5, Scale
from vgg_mm.installation import argument, command


class Result(NamedTuple):
    """A test record and the work directory that holds it."""

    record: TestRecord
    folder: str


def find_results(folders: Iterable[str]) -> list[Result]:
    """The newest record of each row in every results file below the folders.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if a file is broken.
    """
    return [
        Result(record, folder)
        for folder in folders_with(RECORDS_FILE, folders)
        for record in read_records(os.path.join(folder, RECORDS_FILE))
    ]


def folders_with(name: str, folders: Iterable[str]) -> list[str]:
    """Folders, the given ones and all below them, that hold a file of that name; each once.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    found: dict[str, str] = {}
    for top in folders:
        if not os.path.isdir(top):
            raise FileNotFoundError(f'no such folder: {top}')
        for folder, below, files in os.walk(top):
            below.sort()
            if name in files:
                found.setdefault(os.path.realpath(folder), os.path.normpath(folder))
    return list(found.values())


class TrainedNet(NamedTuple):
    """What a work directory holds; ``data`` is the folder of its test images."""

    work_dir: str
    config: str
    checkpoint: str
    net: str
    width: int
    scale: Scale
    data: str


class Run(NamedTuple):
    """One of ``tools/test.py``; ``tta_cfg`` is a name in ``configs/_base_/tta``."""

    trained: TrainedNet
    tta_cfg: str

    def arguments(self, data_root: Optional[str] = None) -> list[str]:
        """Of ``tools/test.py``."""
        net = self.trained
        options = ['--cfg-options', f'DATA_ROOT={data_root}'] if data_root else []
        return [
            *(net.config, net.checkpoint, '--tta', '--tta-cfg', self.tta_cfg),
            *('--work-dir', net.work_dir, *options),
        ]


def run_missing(
    folders: Sequence[str], results: Sequence[Result], data_root: Optional[str] = None
) -> tuple[int, int]:
    """Run the tests whose results are missing; each adds its own to its work directory.

    Args:
        folders: Searched for work directories.
        results: Existing results.
        data_root: Replaces the configs' ``DATA_ROOT``.

    Returns:
        How many tests were run, and how many of them failed.
    """
    nets, skipped = find_trained_nets(folders, data_root)
    for line in skipped:
        say(f'skipped: {line}')
    tests = plan(nets, results)
    failed = 0
    for number, test in enumerate(tests, start=1):
        arguments = test.arguments(data_root)
        said = command('test', shlex.join(arguments))
        say(f'test {number} of {len(tests)}: {said}')
        try:
            run_tool(tool_command('test.py', *arguments), _show_progress)
        except RuntimeError as error:
            failed += 1
            say(f'failed: {test.trained.work_dir}, {test.tta_cfg}: {error}')
    if not tests:
        say('no test is missing')
    return len(tests), failed


def find_trained_nets(
    folders: Iterable[str], data_root: Optional[str] = None
) -> tuple[list[TrainedNet], list[str]]:
    """Work directories with a checkpoint, and a line for each that cannot be tested.

    Raises:
        FileNotFoundError: if there is no such folder.
    """
    nets, skipped = [], []
    for folder in folders_with(LAST_CHECKPOINT, folders):
        try:
            nets.append(_trained_net(folder, data_root))
        except Exception as error:
            if kind_of(error) is not Kind.USERS:
                raise
            skipped.append(f'{folder}: {one_line(error)}')
    return nets, skipped


def _trained_net(work_dir: str, data_root: Optional[str]) -> TrainedNet:
    config = _find_config(work_dir)
    checkpoint = named_checkpoint(work_dir)
    if checkpoint is None or not os.path.isfile(checkpoint):
        raise FileNotFoundError(f'checkpoint not found: {checkpoint or "none is named"}')
    cfg = read_config(config)
    if data_root is not None:
        replace_data_root(cfg, data_root_of(cfg), data_root)
    found = describe(cfg)
    if found['scale'] is None:
        raise ValueError(
            'its config has no vgg_mm.ScaleJitter, from whose S the test scales follow'
        )
    if not os.path.isdir(found['data']):
        raise FileNotFoundError(
            f'no data folder {found["data"]!r}: give yours with {argument("data_root")}'
        )
    setting = (found[key] for key in ('net', 'width', 'scale', 'data'))
    return TrainedNet(work_dir, config, checkpoint, *setting)


def _find_config(work_dir: str) -> str:
    """The training's config that mmengine wrote there; of several the newest."""
    names = [name for name in os.listdir(work_dir) if name.endswith('.py')]
    paths = [os.path.join(work_dir, name) for name in names if not name.endswith(TEST_SUFFIX)]
    if not paths:
        raise FileNotFoundError('no config (.py) beside the checkpoint')
    return max(paths, key=os.path.getmtime)


def plan(nets: Iterable[TrainedNet], results: Sequence[Result]) -> list[Run]:
    """The runs that give the missing results, as few as possible."""
    return [Run(net, name) for net in nets for name in _missing(net, results)]


def _missing(net: TrainedNet, results: Iterable[Result]) -> list[str]:
    """Names of the test configs to run; on ImageNet those of the paper's rows, else all."""
    data, work_dir = os.path.realpath(net.data), os.path.realpath(net.work_dir)
    done = {
        (record.test_scales, record.protocol)
        for record, folder in results
        if os.path.realpath(folder) == work_dir
        and os.path.realpath(record.data) == data
        and (record.net, record.width, record.scale) == (net.net, net.width, net.scale)
        and not record.members
        and not _is_earlier(record.checkpoint, net.checkpoint)
    }
    one, several = (paper_test_scales(net.scale, many) for many in (False, True))
    classes = sorted(entry.name for entry in os.scandir(net.data) if entry.is_dir())
    if net.width == BASE_CHANNELS and is_imagenet(classes):
        rows = [*TABLE_3, *TABLE_4, *TABLE_5]
        wanted = {r[2:4] for r in rows if (r.net, r.scale) == (net.net, net.scale)}
    else:
        wanted = {(one, 'dense'), *((several, row.protocol) for row in TABLE_5)}
    names = ['dense_one_scale'] if (one, 'dense') in wanted - done else []
    protocols = {protocol for scales, protocol in wanted - done if scales == several}
    if protocols:
        # One pass gives all protocols.
        names.append('dense' if protocols == {'dense'} else 'all')
    return names


def _is_earlier(tested: str, last: str) -> bool:
    """Whether the tested checkpoint is that of another epoch than the last; the best one is not."""
    name = os.path.basename(tested)
    return bool(re.fullmatch(r'(epoch|iter)_\d+\.pth', name)) and name != os.path.basename(last)


def _show_progress(line: str) -> None:
    if 'Epoch(test)' in line:
        say(f'  {message_of(line)}')
