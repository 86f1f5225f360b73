"""The part of a run's log that is shown on the screen; all of it is in the file."""

import logging
from typing import Any

from mmengine.logging import MMLogger
from mmengine.runner import Runner

from vgg_mm.registry import RUNNERS

#: Beginnings of mmengine's long records at each start, and of its repeated warnings.
FILE_ONLY = (
    'System environment:',
    'Config:',
    'Hooks will be executed in the following order:',
    'paramwise_options --',
    'Distributed training is not used, all SyncBatchNorm',
    '"FileClient" will be deprecated',
    '"HardDiskBackend" is the alias of',
)

#: Endings: of each weight of frozen layers.
SKIPPED = 'is skipped since its requires_grad=False'


def is_for_terminal(record: logging.LogRecord) -> bool:
    """Whether a record is for the screen: not if it is long or the same at every start."""
    text = str(record.msg).lstrip('\n -=')
    return not text.startswith(FILE_ONLY) and not text.endswith(SKIPPED)


@RUNNERS.register_module()
class ScreenRunner(Runner):
    """mmengine's ``Runner``; environment, config and list of hooks go to the log file only."""

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(is_for_terminal)
        return logger
