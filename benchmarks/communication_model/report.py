"""``benchmarks/scaling.py``: traffic and time of a training step on 1 to 1,024 GPUs."""

import argparse
import json
from collections.abc import Callable, Sequence
from typing import Optional

from mmengine.config import Config

from vgg_mm.apis.chain.estimate import StepTime, device_name, measure_step
from vgg_mm.apis.config import load_config
from vgg_mm.apis.tables import format_table
from vgg_mm.checkpoints import write_atomically

from .data_paths import FOLDERS, DataPath, data_path_table, measure_data_paths
from .layers import layer_costs
from .network import Network
from .rows import MEGABYTE, Row, Training, scaling_row

#: On a busy machine, steps with more images can seem shorter: at most so many attempts.
MEASUREMENTS = 5

HEADERS = (
    'GPUs', 'nodes', 'images/GPU', 'MB sent/GPU', 'MB sent/node', 'compute ms', 'comm. ms',
    'hidden', 'step ms', 'images/s', 'efficiency', 'JPEG MB/s', 'cores',
)  # fmt: skip


def scaling(args: argparse.Namespace) -> None:
    """Print the tables that ``args`` (of ``benchmarks/scaling.py``) ask for; write ``--json``.

    Raises:
        ValueError, FileNotFoundError: in one line, if an option is invalid.
    """
    check_options(args)
    cfg = load_config(args.config, cfg_options=args.cfg_options)
    network = Network(args.gpus_per_node, args.intra_GBps, args.inter_GBps, *args.latency_us)
    gpus = usable(args.gpus, network, None if args.per_gpu_batch else args.batch)
    paths = None
    if args.data:
        paths = measure_data_paths(cfg, args.data, args.data_seconds, args.data_images)
        print(data_path_table(paths, args.markdown), end='\n\n', flush=True)
    training = training_of(args, cfg, network, paths)
    rows = [scaling_row(training, count) for count in gpus]
    print(assumptions(training, step_source(args)), end='\n\n')
    print(table(rows, args.markdown))
    left_out = [count for count in args.gpus if count not in gpus]
    if left_out:
        print(
            f'\nLeft out: {", ".join(map(str, left_out))} GPUs, more than the {args.batch} images '
            'of a step; --per-gpu-batch N gives each GPU as many.'
        )
    if args.json:
        write_json(args.json, training, step_source(args), rows, paths)


def check_options(args: argparse.Namespace) -> None:
    """Raise ValueError, in one line, for an invalid number."""
    if (args.per_image_ms is None) != (args.per_step_ms is None):
        raise ValueError(
            '--per-image-ms and --per-step-ms belong together; without both, steps are measured'
        )
    positive = (
        'per_image_ms', 'batch', 'per_gpu_batch', 'gpus_per_node', 'intra_GBps', 'inter_GBps',
        'image_kb', 'core_rate', 'data_seconds', 'data_images',
    )  # fmt: skip
    for name in positive:
        _require(name, getattr(args, name), lambda value: value > 0, 'positive')
    _require('gpus', min(args.gpus), lambda value: value > 0, 'positive')
    for name in ('per_step_ms', 'latency_us'):
        value = getattr(args, name)
        for one in value if isinstance(value, list) else [value]:
            _require(name, one, lambda value: value >= 0, 'at least 0')


def _require(name: str, value: Optional[float], fits: Callable[[float], bool], wanted: str) -> None:
    # nan satisfies no condition; infinity is no valid value of any option.
    if value is not None and not (fits(value) and value < float('inf')):
        raise ValueError(f'--{name.replace("_", "-")} must be {wanted}, got {value}')


def usable(gpus: Sequence[int], network: Network, batch: Optional[int]) -> list[int]:
    """The numbers of GPUs in order, without those above the number of images in the batch.

    Raises:
        ValueError: in one line, if none is left or nodes are not full.
    """
    gpus = sorted(set(gpus))
    for count in gpus:
        network.nodes(count)
    left = [count for count in gpus if batch is None or count <= batch]
    if not left:
        raise ValueError(
            f'--gpus {gpus[0]}: more GPUs than the {batch} images of a step; give --batch or '
            '--per-gpu-batch N'
        )
    return left


def training_of(
    args: argparse.Namespace, cfg: Config, network: Network, paths: Optional[list[DataPath]]
) -> Training:
    """The options, completed from the config, with the given or a measured step."""
    layers = layer_costs(cfg)
    if args.per_image_ms is not None:
        step = StepTime(args.per_image_ms / 1e3, args.per_step_ms / 1e3)
    else:
        step = measured_step(cfg, args.amp)
    core_rate = args.core_rate
    if core_rate is None and paths is not None:
        core_rate = next(path.core_rate for path in paths if path.name == FOLDERS)
    return Training(
        layers=layers,
        step=step,
        network=network,
        batch=args.batch,
        per_gpu_batch=args.per_gpu_batch,
        grad_bytes=args.grad_bytes or configured_grad_bytes(cfg),
        sharded=args.sharded or cfg.get('runner_type') == 'vgg_mm.ShardedRunner',
        overlap=args.overlap,
        image_kb=args.image_kb,
        core_rate=core_rate,
    )


def measured_step(cfg: Config, amp: bool) -> StepTime:
    """A step of the config's model, measured on this machine.

    Raises:
        ValueError: in one line, if other programs leave no time to measure it.
    """
    for _ in range(MEASUREMENTS):
        step = measure_step(cfg, amp)
        if step.per_image > 0:
            return step
    raise ValueError(
        f'{MEASUREMENTS} times a step with more images took no longer: the machine is busy; give '
        '--per-image-ms and --per-step-ms, or measure once more'
    )


def configured_grad_bytes(cfg: Config) -> int:
    """2 if the config sends gradients in 16 bits, else 4."""
    hook = (cfg.get('default_hooks') or {}).get('gradient_compression') or {}
    wrapper = (cfg.get('strategy') or {}).get('model_wrapper') or {}
    sharded = wrapper.get('mixed_precision') or {}
    return 2 if hook.get('dtype') or sharded.get('reduce_dtype') else 4


def step_source(args: argparse.Namespace) -> str:
    if args.per_image_ms is not None:
        return 'as given'
    return f'measured here on {device_name()}{" with --amp" if args.amp else ""}'


def assumptions(training: Training, source: str) -> str:
    """The assumptions behind the table."""
    step, network = training.step, training.network
    batch = f'{training.batch} images a step, shared out'
    if training.per_gpu_batch:
        batch = f'{training.per_gpu_batch} images per GPU and step'
    size = training.grad_bytes * training.parameters / MEGABYTE
    scheme = 'FSDP' if training.sharded else 'DDP'
    order = 'overlapping' if training.overlap else 'after the backward pass'
    return '\n'.join(
        [
            'Computed, not measured, except for what is said to be measured.',
            f'One GPU: {1e3 * step.per_image:.2f} ms per image + {1e3 * step.per_step:.2f} ms per '
            f'step, {source}; {batch}.',
            f'Gradients: {training.parameters:,} x {training.grad_bytes} bytes = {size:.1f} MB, '
            f'{scheme}, {order}.',
            f'Links: {network.gpus_per_node} GPUs per node, {network.intra:g} GB/s per GPU within '
            f'it ({network.intra_latency:g} us), {network.inter:g} GB/s per node between '
            f'({network.inter_latency:g} us).',
            f'Images of {training.image_kb:g} KB'
            + (f', {training.core_rate:.0f} decoded per second by a core.'
               if training.core_rate else '.'),
        ]
    )  # fmt: skip


def table(rows: Sequence[Row], markdown: bool = False) -> str:
    """The rows as a table; without the rate of a core, there is no column of cores."""
    cells = [
        [
            row.gpus,
            row.nodes,
            row.images_per_gpu,
            f'{row.gpu_mb:,.1f}',
            f'{row.node_mb:,.1f}',
            f'{row.compute_ms:,.1f}',
            f'{row.communication_ms:,.1f}',
            f'{100 * row.hidden_ms / row.communication_ms:.0f} %' if row.communication_ms else '',
            f'{row.step_ms:,.1f}',
            f'{row.images_per_second:,.0f}' if row.images_per_second >= 100
            else f'{row.images_per_second:.1f}',
            f'{100 * row.efficiency:.1f} %',
            f'{row.jpeg_mb_per_second:,.1f}',
            *([] if row.cores is None else [f'{row.cores:,.1f}']),
        ]
        for row in rows
    ]  # fmt: skip
    return format_table(HEADERS[: len(cells[0])], cells, markdown)


def write_json(
    path: str,
    training: Training,
    source: str,
    rows: Sequence[Row],
    paths: Optional[list[DataPath]],
) -> None:
    """All numbers in full: assumptions, layers, rows, data paths."""
    content = training._asdict()
    content.update(
        step=dict(training.step._asdict(), source=source),
        network=training.network._asdict(),
        layers=[layer._asdict() for layer in training.layers],
        rows=[row._asdict() for row in rows],
        data_paths=[one._asdict() for one in paths or []],
    )
    write_atomically(path, json.dumps(content, indent=1).encode())
