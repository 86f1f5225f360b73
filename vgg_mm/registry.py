"""Child registries of scope ``vgg_mm``, direct children of mmengine's roots.

Being a sibling of mmpretrain, mmdet and mmseg there, ``type='vgg_mm.VGG'`` resolves from the scope
of each of them.
"""

from collections.abc import Callable
from typing import Optional

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import RUNNERS as MMENGINE_RUNNERS
from mmengine.registry import STRATEGIES as MMENGINE_STRATEGIES
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISUALIZERS as MMENGINE_VISUALIZERS
from mmengine.registry import WEIGHT_INITIALIZERS as MMENGINE_WEIGHT_INITIALIZERS
from mmengine.registry import Registry


class LazyRegistry(Registry):
    """mmengine's registry, where a module may also be imported on first use."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._importers: dict[str, Callable[[], type]] = {}

    def register_lazily(self, name: str, importer: Callable[[], type]) -> None:
        """Register a name whose module registers itself when ``importer()`` imports it."""
        self._importers[name] = importer

    @property
    def module_dict(self) -> dict[str, type]:
        """All modules, imported now if they are not yet."""
        self.import_from_location()
        return super().module_dict

    def __len__(self) -> int:
        return len(self.module_dict)

    def get(self, key: str) -> Optional[type]:
        """As mmengine's.

        Raises:
            ImportError: if the module cannot be imported.
        """
        scope, name = self.split_scope_key(key)
        if scope in (None, self.scope) and name not in self.module_dict:
            importer = self._importers.get(name)
            if importer is not None:
                importer()
        return super().get(key)


def _child(name: str, parent: Registry, *locations: str) -> LazyRegistry:
    return LazyRegistry(name, parent=parent, scope='vgg_mm', locations=list(locations))


MODELS = _child('model', MMENGINE_MODELS, 'vgg_mm.models', 'vgg_mm.kernels')
TRANSFORMS = _child('transform', MMENGINE_TRANSFORMS, 'vgg_mm.datasets')
DATASETS = _child('dataset', MMENGINE_DATASETS, 'vgg_mm.datasets')
DATA_SAMPLERS = _child('data sampler', MMENGINE_DATA_SAMPLERS, 'vgg_mm.datasets')
HOOKS = _child('hook', MMENGINE_HOOKS, 'vgg_mm.engine')
OPTIM_WRAPPERS = _child('optimizer wrapper', MMENGINE_OPTIM_WRAPPERS, 'vgg_mm.engine')
RUNNERS = _child('runner', MMENGINE_RUNNERS, 'vgg_mm.engine')
STRATEGIES = _child('strategy', MMENGINE_STRATEGIES, 'vgg_mm.engine')
LOOPS = _child('loop', MMENGINE_LOOPS, 'vgg_mm.engine')
METRICS = _child('metric', MMENGINE_METRICS, 'vgg_mm.evaluation')
VISUALIZERS = _child('visualizer', MMENGINE_VISUALIZERS, 'vgg_mm.visualization')
WEIGHT_INITIALIZERS = _child(
    'weight initializer', MMENGINE_WEIGHT_INITIALIZERS, 'vgg_mm.checkpoints.module_weights'
)
