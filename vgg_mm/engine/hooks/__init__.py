from .annotation_check_hook import AnnotationCheckHook
from .checkpoint_check_hook import CheckpointCheckHook
from .checkpoint_hook import CheckpointHook
from .class_check_hook import ClassCheckHook
from .exact_resume_hook import ExactResumeHook, ResumableTrainLoop
from .gradient_compression_hook import GradientCompressionHook
from .init_hooks import ClassifierInitHook, StagedInitHook
from .loss_guard_hook import BatchSizeNoticeHook, LossGuardHook
from .preprocessing_hook import PreprocessingHook
from .progress_hook import ProgressHook
from .skipped_images_hook import SkippedImagesHook
from .stop_after_drops_hook import StopAfterDropsHook

__all__ = [
    'AnnotationCheckHook',
    'BatchSizeNoticeHook',
    'CheckpointCheckHook',
    'CheckpointHook',
    'ClassCheckHook',
    'ClassifierInitHook',
    'ExactResumeHook',
    'GradientCompressionHook',
    'LossGuardHook',
    'PreprocessingHook',
    'ProgressHook',
    'ResumableTrainLoop',
    'SkippedImagesHook',
    'StagedInitHook',
    'StopAfterDropsHook',
]
