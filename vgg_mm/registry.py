"""Child registries of scope ``vgg_mm``, direct children of mmengine's roots.

Being a sibling of mmpretrain, mmdet and mmseg there, ``type='vgg_mm.VGG'`` resolves from the scope
of each of them.
"""

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
from mmengine.registry import Registry


def _child(name: str, parent: Registry, location: str) -> Registry:
    return Registry(name, parent=parent, scope='vgg_mm', locations=[location])


MODELS = _child('model', MMENGINE_MODELS, 'vgg_mm.models')
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
