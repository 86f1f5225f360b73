from .annotation_check_hook import AnnotationCheckHook
from .batch_size_notice_hook import BatchSizeNoticeHook
from .checkpoint_check_hook import CheckpointCheckHook
from .checkpoint_hook import CheckpointHook
from .class_check_hook import ClassCheckHook
from .classifier_init_hook import ClassifierInitHook
from .exact_resume_hook import ExactResumeHook
from .float32_operators_hook import Float32OperatorsHook
from .gradient_compression_hook import GradientCompressionHook
from .loss_guard_hook import LossGuardHook
from .preprocessing_hook import PreprocessingHook
from .progress_hook import ProgressHook
from .skipped_images_hook import SkippedImagesHook
from .staged_init_hook import StagedInitHook
from .stop_after_drops_hook import StopAfterDropsHook

__all__ = [
    'AnnotationCheckHook',
    'BatchSizeNoticeHook',
    'CheckpointCheckHook',
    'CheckpointHook',
    'ClassCheckHook',
    'ClassifierInitHook',
    'ExactResumeHook',
    'Float32OperatorsHook',
    'GradientCompressionHook',
    'LossGuardHook',
    'PreprocessingHook',
    'ProgressHook',
    'SkippedImagesHook',
    'StagedInitHook',
    'StopAfterDropsHook',
]
