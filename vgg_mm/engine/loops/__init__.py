from .cached_maps_loops import CachedMapsTrainLoop, CachedMapsValLoop
from .resumable_train_loop import ResumableTrainLoop

__all__ = ['CachedMapsTrainLoop', 'CachedMapsValLoop', 'ResumableTrainLoop']
