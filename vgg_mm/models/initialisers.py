"""Random initialisations that the paper's recipe can start from, each by one word."""

from typing import Any, Optional, Union

InitCfg = Union[str, dict, list, None]


def _every_layer(**kwargs: Any) -> list[dict]:
    return [
        dict(layer=['Conv2d', 'Linear'], bias=0, **kwargs),
        dict(type='Constant', layer='_BatchNorm', val=1, bias=0),
    ]


#: word -> mmengine's ``init_cfg``
INITIALISERS: dict[str, list] = {
    # Section 3.1 as printed: "zero mean and 10^-2 variance", biases zero.
    'normal_var': _every_layer(type='Normal', std=0.1),
    # Often assumed to be intended: standard deviation 10^-2.
    'normal_std': _every_layer(type='Normal', std=0.01),
    # Glorot & Bengio (2010), which the authors note makes pre-training unnecessary.
    'glorot': _every_layer(type='Xavier', distribution='uniform'),
    # What MMPretrain's VGG does.
    'kaiming': [
        dict(type='Kaiming', layer='Conv2d'),
        dict(type='Normal', layer='Linear', std=0.01),
        dict(type='Constant', layer='_BatchNorm', val=1, bias=0),
    ],
}


def resolve_init_cfg(owner: str, init_cfg: InitCfg) -> Optional[Union[dict, list]]:
    """A word of :data:`INITIALISERS` in mmengine's form; other forms pass through.

    Raises:
        ValueError: if ``init_cfg`` is a word that is not known.
    """
    if not isinstance(init_cfg, str):
        return init_cfg
    if init_cfg not in INITIALISERS:
        raise ValueError(
            f'{owner}: unknown init_cfg {init_cfg!r}; choose one of {", ".join(INITIALISERS)} '
            "or give mmengine's dict form, e.g. dict(type='Pretrained', checkpoint=...)"
        )
    return INITIALISERS[init_cfg]
