"""timm's VGG: torchvision's ``features.N``; the fully-connected layers are convolutions."""

from ..preprocessing import STANDARDISED_RGB
from .layout import Layout, flat_fc, sequential_tables, split_name

FC = {'pre_logits.fc1': 'fc6', 'pre_logits.fc2': 'fc7', 'head.fc': 'fc8'}

TIMM = Layout(
    name='timm',
    looks_like='pre_logits.fc1.weight',
    preprocessing=STANDARDISED_RGB,
    tables=lambda arch: sequential_tables(arch, 'features.', FC),
    layer_of=split_name,
    tensor_of=flat_fc,
)
