from .dump import DumpPosteriors, DumpPredictions
from .localization_error import LocalizationError
from .posteriors import Posteriors, load_posteriors, wrong_images
from .test_record import (
    RECORDS_FILE,
    TestRecord,
    add_records,
    is_imagenet,
    read_records,
    scale_texts,
    wilson_interval,
)
from .topk_error import TopKError

__all__ = [
    'DumpPosteriors',
    'DumpPredictions',
    'LocalizationError',
    'Posteriors',
    'RECORDS_FILE',
    'TestRecord',
    'TopKError',
    'add_records',
    'is_imagenet',
    'load_posteriors',
    'read_records',
    'scale_texts',
    'wilson_interval',
    'wrong_images',
]
