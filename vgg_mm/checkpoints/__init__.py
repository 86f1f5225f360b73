from .atomic_write import (
    WHOLE_FILES,
    AtomicLocalBackend,
    check_room,
    whole_file,
    write_atomically,
)
from .config_text import parse_config_text
from .from_classifier import layers_of_vgg, transfer_classifier
from .layouts import has_own_names, to_own_layout, unknown_layout
from .preprocessing import (
    Preprocessing,
    config_preprocessing,
    noted_preprocessing,
    preprocessing_of,
)
from .resume_point import (
    LAST_CHECKPOINT,
    find_resume_point,
    is_intact,
    named_checkpoint,
    run_checkpoint,
)
from .safe_load import load_checkpoint
from .schemes import for_rgb, is_local, load_by_name, loading_safely, read_by_name
from .weights import fits, recorded_classes, weights_digest, weights_of

__all__ = [
    'LAST_CHECKPOINT',
    'WHOLE_FILES',
    'AtomicLocalBackend',
    'Preprocessing',
    'check_room',
    'config_preprocessing',
    'find_resume_point',
    'fits',
    'for_rgb',
    'has_own_names',
    'is_intact',
    'is_local',
    'layers_of_vgg',
    'load_by_name',
    'load_checkpoint',
    'loading_safely',
    'named_checkpoint',
    'noted_preprocessing',
    'parse_config_text',
    'preprocessing_of',
    'read_by_name',
    'recorded_classes',
    'run_checkpoint',
    'to_own_layout',
    'transfer_classifier',
    'unknown_layout',
    'weights_digest',
    'weights_of',
    'whole_file',
    'write_atomically',
]
