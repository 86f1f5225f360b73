"""torchvision's VGG: ``features.N``, a list of all layers, and ``classifier.N``."""

from ..preprocessing import STANDARDISED_RGB, Preprocessing
from .layout import Layout, Weights, flat_fc, sequential_tables, split_name

FC = {'classifier.0': 'fc6', 'classifier.3': 'fc7', 'classifier.6': 'fc8'}

#: ``VGG16_Weights.IMAGENET1K_FEATURES``: other weights with other pre-processing, in a whole net
#: whose classifier is not a number.
FEATURES_PREPROCESSING = Preprocessing(True, (122.999, 116.999, 103.999), (1.0, 1.0, 1.0))


def _without_classifier(weights: Weights) -> bool:
    bias = weights.get('classifier.6.bias')
    return bias is not None and bool(bias.isnan().all())


TORCHVISION = Layout(
    name='torchvision',
    looks_like='features.0.weight, classifier.0.weight',
    preprocessing=STANDARDISED_RGB,
    tables=lambda arch: sequential_tables(arch, 'features', FC),
    layer_of=split_name,
    tensor_of=flat_fc,
    applies=lambda weights: not _without_classifier(weights),
)

TORCHVISION_FEATURES = TORCHVISION._replace(
    name='torchvision, features only',
    preprocessing=FEATURES_PREPROCESSING,
    tables=lambda arch: sequential_tables(arch, 'features', {}),
    applies=_without_classifier,
)
