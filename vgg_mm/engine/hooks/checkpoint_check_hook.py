"""Refuses a checkpoint that does not belong to the model."""

from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.registry import MODELS
from mmengine.runner import Runner

from vgg_mm.checkpoints import (
    has_own_names,
    noted_preprocessing,
    recorded_classes,
    to_own_layout,
    unknown_layout,
    weights_of,
)
from vgg_mm.checkpoints.from_classifier import difference
from vgg_mm.checkpoints.weights import (
    Weights,
    adapt_input_channels,
    colours_in_bgr,
    first_of,
    misfits,
    other_classes,
)
from vgg_mm.registry import HOOKS

from ..unwrap import whole_weights

Shape = tuple[int, ...]


@HOOKS.register_module()
class CheckpointCheckHook(Hook):
    """Compare a checkpoint with the model before its weights are copied.

    Weights of a VGG in another library's layout are brought into this package's, with their
    pre-processing, if the model has it.

    mmengine copies what fits and warns about the rest in a long list, so that a test of the wrong
    net continues and prints a meaningless error. With ``strict`` (testing, resuming) every weight
    has to be there; without (``load_from`` for fine-tuning) weights may be missing, and layers that
    are for another number of classes (a classifier's fc8, a detector's fc_cls, a segmentor's
    conv_seg) are left as initialised, with a notice.

    Args:
        strict: See above.

    Raises:
        ValueError: in one line, with the wrong weights.
    """

    # Before other hooks read the checkpoint.
    priority = 'VERY_HIGH'

    def __init__(self, strict: bool = True):
        self.strict = strict

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        target = whole_weights(runner.model)
        if has_own_names(target):
            converted = to_own_layout(checkpoint)
            if converted is not checkpoint:  # the caller has a reference to it
                checkpoint.clear()
                checkpoint.update(converted)
        weights = weights_of(checkpoint)
        if not self.strict:
            turned = colours_in_bgr(weights, target) if _expects_rgb(runner, checkpoint) else []
            for notice in [*turned, *adapt_input_channels(weights, target)]:
                runner.logger.info(notice)
                checkpoint['state_dict'] = weights
        wrong = misfits(weights, target)
        if not self.strict:
            left = other_classes(weights, target)
            for notice in left.values():
                runner.logger.info(notice)
            wrong = {name: text for name, text in wrong.items() if name not in left}
            left_too = self._other_classes(runner, checkpoint, weights, wrong) if wrong else []
            for name in (*left, *left_too):
                state = checkpoint.get('state_dict', checkpoint)
                state.pop(name, None)
                state.pop(f'module.{name}', None)
                wrong.pop(name, None)
        problems = list(wrong.values())
        if not self.strict and (other := difference(weights, target)):
            problems.insert(0, f'it {other}')
        if not weights.keys() & target.keys():
            if has_own_names(target) and not has_own_names(weights):
                raise unknown_layout(weights, 'no weight has a name of the model')
            problems = [f'no weight has a name of the model (first: {next(iter(weights))})']
        elif self.strict:
            for name in sorted(target.keys() ^ weights.keys(), key=lambda n: (n in weights, n)):
                if not name.endswith('num_batches_tracked'):
                    what = 'not in the model' if name in weights else 'missing'
                    problems.append(f'{name} is {what}')
        if problems:
            raise ValueError(f'the checkpoint is of another net: {first_of(problems)}')

    def _other_classes(
        self, runner: Runner, checkpoint: dict, weights: Weights, wrong: dict[str, str]
    ) -> list[str]:
        """The wrong weights that differ only in the number of classes, with a notice."""
        shapes = class_dependent_shapes(runner.cfg.get('model') or {})
        names = [
            name
            for name in wrong
            if name in shapes and fits_but_for_classes(tuple(weights[name].shape), shapes[name])
        ]
        if names:
            recorded = recorded_classes(checkpoint)
            classes = f' ({len(recorded)})' if recorded else ''
            layers = dict.fromkeys(name.rpartition('.')[0] for name in names)
            runner.logger.warning(
                f'left as initialised, since the checkpoint has them for another number of classes'
                f'{classes}: {", ".join(layers)}'
            )
        return names


def _expects_rgb(runner: Runner, checkpoint: dict) -> bool:
    """Whether weights are for RGB images; if not recorded, as in the config."""
    expected = noted_preprocessing(checkpoint)
    if expected is not None:
        return expected.to_rgb
    # Prediction has a model, and no run with a config.
    model = (getattr(runner, 'cfg', None) or {}).get('model') or {}
    return bool((model.get('data_preprocessor') or {}).get('to_rgb'))


def class_dependent_shapes(model: dict) -> dict[str, tuple[Shape, Shape]]:
    """Names of the weights whose shapes depend on the number of classes -> shape, and that for one
    class more; empty where a model cannot be built without memory.

    A config of any model of OpenMMLab's is built as it is and with each ``num_classes`` one larger.
    """
    if not model:
        return {}
    try:
        with torch.device('meta'):
            here, more = (_shapes(_more_classes(model, extra)) for extra in (0, 1))
    # Operators without a "meta" form; heads that refuse another number.
    except (RuntimeError, NotImplementedError, ValueError, AssertionError):
        return {}
    return {n: (here[n], more[n]) for n in here.keys() & more.keys() if here[n] != more[n]}


def fits_but_for_classes(found: Shape, shapes: tuple[Shape, Shape]) -> bool:
    """Whether a weight of this shape is that of the model for some number of classes."""
    here, more = shapes
    return len(found) == len(here) and all(
        side == wanted or wanted != other for side, wanted, other in zip(found, here, more)
    )


def _shapes(model: dict) -> dict[str, Shape]:
    return {name: tuple(tensor.shape) for name, tensor in MODELS.build(model).state_dict().items()}


def _more_classes(node: Any, extra: int) -> Any:
    """A copy of a config with that many classes more, and what depends on it."""
    if isinstance(node, dict):
        copy = {key: _more_classes(value, extra) for key, value in node.items()}
        if extra and isinstance(node.get('num_classes'), int):
            copy['num_classes'] += extra
            if isinstance(node.get('out_channels'), int):  # of segmentation: 1 for two classes
                copy['out_channels'] = copy['num_classes']
        if extra and 'class_weight' in node:
            copy['class_weight'] = None
        return type(node)(copy)
    if isinstance(node, (list, tuple)):
        return type(node)(_more_classes(value, extra) for value in node)
    return node
