"""The model of communication compared with simulated all-reduce, torch's buckets and the doc."""

import json
import re
import shlex
import sys

import numpy as np
import pytest
import torch
import torch.distributed as dist
from communication_model import data_paths, report
from communication_model.layers import LayerCost, backward_multiply_adds, layer_costs
from communication_model.network import Network, gpu_bytes
from communication_model.rows import Training, scaling_row
from communication_model.timeline import (
    BUCKET,
    FIRST_BUCKET,
    UNIT_PARAMETERS,
    Bucket,
    Communication,
    Unit,
    ddp_buckets,
    ddp_communication,
    fsdp_communication,
    fsdp_units,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch.distributed.fsdp.wrap import _recursive_wrap, size_based_auto_wrap_policy

from tests.conftest import A_DIGITS, ROOT, run_tool
from tests.models.test_vgg import classifier
from vgg_mm.apis.chain.estimate import StepTime
from vgg_mm.apis.net_table import layers as net_table_layers
from vgg_mm.datasets import TarShards

D_IMAGENET = str(ROOT / 'configs/vgg/vgg16_jitter_imagenet.py')
GIVEN = ('--per-image-ms', '1', '--per-step-ms', '2')


@pytest.fixture(scope='module')
def net_d():
    return layer_costs(Config.fromfile(D_IMAGENET))


class Wire:
    """Counts the bytes that each GPU sends, and those that leave each node."""

    def __init__(self, gpus, gpus_per_node):
        self.per_node = gpus_per_node
        self.gpu = np.zeros(gpus, int)
        self.node = np.zeros(-(-gpus // gpus_per_node), int)

    def send(self, source, target, content):
        self.gpu[source] += content.nbytes
        if source // self.per_node != target // self.per_node:
            self.node[source // self.per_node] += content.nbytes
        return content.copy()


def reduce_scatter(wire, ring, parts):
    """Pass sums around a ring; GPU ring[i] has ``parts[i]`` and ends with the sum of part i."""
    p = len(ring)
    for step in range(p - 1):
        sent = [(i - step - 1) % p for i in range(p)]
        moved = [wire.send(ring[i], ring[(i + 1) % p], parts[i][sent[i]]) for i in range(p)]
        for i in range(p):
            parts[(i + 1) % p][sent[i]] += moved[i]


def all_gather(wire, ring, parts):
    """Pass whole parts around a ring; GPU ring[i] starts with part i."""
    p = len(ring)
    for step in range(p - 1):
        sent = [(i - step) % p for i in range(p)]
        moved = [wire.send(ring[i], ring[(i + 1) % p], parts[i][sent[i]]) for i in range(p)]
        for i in range(p):
            parts[(i + 1) % p][sent[i]][...] = moved[i]


@pytest.mark.parametrize('nodes, inside', [(1, 1), (1, 2), (1, 5), (2, 4), (3, 2), (4, 1), (3, 4)])
def test_bytes_and_time_equal_those_of_a_simulation(nodes, inside):
    gpus, rng = nodes * inside, np.random.default_rng(0)
    gradients = rng.integers(-99, 99, (gpus, 24 * gpus)).astype(np.float32)
    work, wire = gradients.copy(), Wire(gpus, inside)
    in_nodes = [list(range(n * inside, (n + 1) * inside)) for n in range(nodes)]
    for ring in in_nodes:
        reduce_scatter(wire, ring, [np.split(work[g], inside) for g in ring])
    for place in range(inside):
        ring = [node[place] for node in in_nodes]
        own = [np.split(np.split(work[g], inside)[place], nodes) for g in ring]
        reduce_scatter(wire, ring, own)
        all_gather(wire, ring, own)
    for ring in in_nodes:
        all_gather(wire, ring, [np.split(work[g], inside) for g in ring])
    assert (work == gradients.sum(axis=0)).all()

    size = gradients[0].nbytes
    network = Network(inside, 2.0, 3.0, 5.0, 7.0)
    assert wire.gpu == pytest.approx(2 * gpu_bytes(size, gpus))
    assert wire.node == pytest.approx(2 * network.node_bytes(size, gpus))
    # Each step of a ring sends one part per GPU; between nodes, the GPUs share the network card.
    intra = 2 * (inside - 1) * (size / inside / 2e9 + 5e-6)
    inter = 2 * (nodes - 1) * (inside * (size / inside / nodes) / 3e9 + 7e-6)
    assert network.all_reduce_ms(size, gpus) == pytest.approx(1e3 * (intra + inter))


def test_the_layers_of_net_d(net_d):
    table = [row for row in net_table_layers('D') if row.parameters]
    assert [(c.name.split('.')[-1], c.parameters, c.multiply_adds) for c in net_d] == [
        (row.name, row.parameters, row.multiply_adds) for row in table
    ]
    assert sum(c.parameters for c in net_d) == 138_357_544
    forward = sum(c.multiply_adds for c in net_d)
    assert sum(backward_multiply_adds(net_d)) == 2 * forward - net_d[0].multiply_adds


def test_frozen_layers_neither_send_nor_compute_backwards():
    cfg = Config.fromfile(A_DIGITS)
    every = layer_costs(cfg)
    cfg.model.backbone.frozen_stages = 2
    some = layer_costs(cfg)
    assert [c.parameters for c in some[:2]] == [0, 0] and every[0].parameters > 0
    assert some[2:] == every[2:]
    assert backward_multiply_adds(some)[:3] == [0, 0, some[2].multiply_adds]


@pytest.mark.parametrize('arch', ['A', 'D'])
def test_buckets_equal_those_of_torch(arch, net_d):
    layers = net_d if arch == 'D' else layer_costs(_config(arch))
    arriving = [size for layer in layers[::-1] for size in layer.tensors[::-1]]
    indices, _ = dist._compute_bucket_assignment_by_size(
        [torch.empty(size, device='meta') for size in arriving], [FIRST_BUCKET, BUCKET]
    )
    expected = [sum(arriving[i] for i in bucket) for bucket in indices]
    assert [bucket.parameters for bucket in ddp_buckets(layers, 1.0)] == expected


def _config(arch):
    cfg = Config.fromfile(D_IMAGENET)
    cfg.model.backbone.arch = arch
    return cfg


def test_fc6_is_sent_while_the_convolutions_compute(net_d):
    buckets = ddp_buckets(net_d, 100.0)
    fc6 = next(bucket for bucket in buckets if bucket.parameters == 102_764_544)
    assert fc6.ready < 1.0
    assert buckets[-1].ready == 100.0
    sent = ddp_communication(buckets, 100.0, lambda count: count / 1e7)
    assert sent.busy == pytest.approx(13.8357544) and sent.hidden > 0.9 * sent.busy


@pytest.mark.parametrize('arch', ['A', 'D'])
def test_units_equal_those_of_torchs_wrapping(arch):
    """FSDP's own recursion applies the policy of configs/_base_/distributed/fsdp.py."""
    strategy = Config.fromfile(ROOT / 'configs/_base_/distributed/fsdp.py').strategy
    policy = dict(strategy.model_wrapper.auto_wrap_policy)
    assert policy.pop('type').endswith(size_based_auto_wrap_policy.__name__)
    assert policy == dict(min_num_params=UNIT_PARAMETERS)
    wrapped = []

    class Wrapper(torch.nn.Module):
        def __init__(self, module, **kwargs):
            super().__init__()
            inside = sum(w.parameters for w in wrapped if w.module in list(module.modules()))
            self.parameters = sum(p.numel() for p in module.parameters()) - inside
            self.module = module
            wrapped.append(self)

    with torch.device('meta'):
        model = classifier(arch=arch)
    total = sum(p.numel() for p in model.parameters())
    _recursive_wrap(
        model,
        lambda **options: size_based_auto_wrap_policy(**options, **policy),
        Wrapper,
        ignored_modules=set(),
        ignored_params=set(),
        only_wrap_children=True,
    )
    expected = [w.parameters for w in wrapped]
    units = fsdp_units(layer_costs(_config(arch)), 1.0, 2.0)
    assert [u.parameters for u in units if not u.root] == expected
    assert sum(u.parameters for u in units if u.root) == total - sum(expected) > 0
    assert sum(u.forward for u in units) == pytest.approx(1.0)
    assert sum(u.backward for u in units) == pytest.approx(2.0)


def test_schedules_computed_by_hand():
    buckets = [Bucket(4, 2.0), Bucket(10, 3.0), Bucket(1, 20.0)]
    # Sent at 2-6, 6-16, 20-21: 1 ms remains after the backward pass.
    assert ddp_communication(buckets, 20.0, float) == Communication(15.0, 1.0)
    assert ddp_communication(buckets, 40.0, float) == Communication(15.0, 0.0)
    units = [Unit(3, 5.0, 10.0, False), Unit(1, 2.0, 4.0, True)]
    # Gather the root 0-1 and the unit 1-4. Forward: unit 4-9, root 9-11. Backward: root 11-15 while
    # the unit is gathered again 11-14, unit 15-25. Gradients: root 15-16, unit 25-28.
    assert fsdp_communication(units, float, float) == Communication(1 + 3 + 3 + 1 + 3, 7.0)
    # Gather the root's two layers 0-3 and the unit 3-6. Forward: 3-8, 8-13, 13-15. Backward: 15-19,
    # 19-29, 29-39 while the unit is gathered again 15-18. Gradients: unit 29-32, root 39-42.
    units = [Unit(2, 5.0, 10.0, True), Unit(3, 5.0, 10.0, False), Unit(1, 2.0, 4.0, True)]
    assert fsdp_communication(units, float, float) == Communication(3 + 3 + 3 + 3 + 3, 6.0)


sizes = st.lists(st.integers(1, 200_000_000), min_size=1, max_size=3).map(tuple)
nets = st.lists(
    st.builds(LayerCost, st.just('x'), sizes, st.integers(1, 10**10)), min_size=1, max_size=9
)
networks = st.builds(Network, st.just(8), *[st.floats(0.1, 1e3)] * 2, *[st.floats(0, 1e3)] * 2)
times = st.builds(StepTime, st.floats(1e-6, 10), st.floats(0, 10))
trainings = st.builds(
    Training,
    nets,
    times,
    networks,
    batch=st.integers(1024, 5000),
    per_gpu_batch=st.none() | st.integers(1, 512),
    grad_bytes=st.sampled_from([2, 4]),
    sharded=st.booleans(),
    overlap=st.booleans(),
)


@settings(max_examples=200, deadline=None)
@given(trainings, st.integers(0, 10).map(lambda k: 2**k))
def test_properties_of_every_step(training, gpus):
    row = scaling_row(training, gpus)
    passes = 1e3 * training.step.per_image * row.images_per_gpu
    eps = 1e-9 * (row.step_ms + row.communication_ms)
    assert row.step_ms >= row.compute_ms
    assert -eps <= row.hidden_ms <= min(row.communication_ms, passes) + eps
    assert row.step_ms == pytest.approx(row.compute_ms + row.communication_ms - row.hidden_ms)
    assert 0 < row.efficiency <= 1 + 1e-9
    assert gpus > 1 or (row.efficiency, row.gpu_mb) == (pytest.approx(1), 0)
    assert row.node_mb == 0 or gpus > 8
    assert row.images_per_gpu * gpus >= training.images(gpus)


@settings(max_examples=100, deadline=None)
@given(trainings, st.integers(1, 10).map(lambda k: 2**k), st.floats(1, 10))
def test_improvements_never_increase_the_step_time(training, gpus, factor):
    row = scaling_row(training, gpus)
    network = training.network
    faster = network._replace(intra=factor * network.intra, inter=factor * network.inter)
    eps = 1 + 1e-9
    for better in (
        training._replace(network=faster),
        training._replace(overlap=True),
        training._replace(grad_bytes=2),
        training._replace(step=training.step._replace(per_step=0.0)),
    ):
        assert scaling_row(better, gpus).step_ms <= row.step_ms * eps
    if not training.sharded and training.grad_bytes == 4:
        assert scaling_row(training._replace(grad_bytes=2), gpus).gpu_mb == row.gpu_mb / 2


def test_sharding_sends_weights_twice_and_gradients_once(net_d):
    training = Training(net_d, StepTime(1e-3, 0.0), Network(), per_gpu_batch=64)
    parameters, root = training.parameters, net_d[-1].parameters
    row = scaling_row(training._replace(sharded=True), 8)
    assert row.gpu_mb == pytest.approx(7 / 8 * 4 * (3 * parameters - root) / 1e6)
    half = scaling_row(training._replace(sharded=True, grad_bytes=2), 8)
    assert row.gpu_mb - half.gpu_mb == pytest.approx(7 / 8 * 2 * parameters / 1e6)


def examples():
    """(command, output) of every console block of the doc."""
    text = (ROOT / 'benchmarks/scaling.md').read_text()
    blocks = re.findall(r'```console\n\$ (.*?)(?<!\\)\n(.*?)```', text, flags=re.S)
    assert len(blocks) >= 4
    return [(command.replace('\\\n', ' '), output) for command, output in blocks]


@pytest.mark.parametrize('command, output', examples())
def test_tables_of_the_doc_equal_the_output(command, output, tmp_path):
    python, tool, *options = shlex.split(command)
    assert (python, tool) == ('python', 'benchmarks/scaling.py')
    assert run_tool('benchmarks/scaling.py', *options, cwd=tmp_path).stdout == output


def test_measured_step_and_data_paths(few_digits, tmp_path):
    pytest.importorskip('lmdb')
    done = run_tool(
        'benchmarks/scaling.py', A_DIGITS, '--gpus', 1, 4, '--per-gpu-batch', 8, '--data',
        few_digits / 'train', '--data-seconds', 0.05, '--json', 'x.json', '--markdown',
        '--cfg-options', 'default_hooks.gradient_compression.dtype=bfloat16', cwd=tmp_path,
    )  # fmt: skip
    found = json.loads((tmp_path / 'x.json').read_text())
    assert 'measured here on the processor' in done.stdout
    assert found['step']['per_image'] > 0 and found['grad_bytes'] == 2
    assert [p['name'] for p in found['data_paths']] == ['image folders', 'tar shards', 'LMDB']
    assert [p['images'] for p in found['data_paths']] == [120] * 3
    one, four = found['rows']
    assert one['cores'] == pytest.approx(one['images_per_second'] / found['core_rate'])
    assert found['core_rate'] == pytest.approx(1e3 / found['data_paths'][0]['cpu_ms'])
    parameters = sum(sum(layer['tensors']) for layer in found['layers'])
    assert four['gpu_mb'] == pytest.approx(1.5 * 2 * parameters / 1e6)
    assert f' {four["gpu_mb"]:,.1f} |' in done.stdout.splitlines()[-1]


def test_the_three_data_paths_give_the_same_images(few_digits, tmp_path):
    pytest.importorskip('lmdb')
    source = tmp_path / 'photos'
    for number, path in enumerate(sorted((few_digits / 'val').rglob('*.png'))):
        folder = source / ['a b', 'ä'][number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f'{number} ü.png').write_bytes(path.read_bytes())
    names = data_paths.sample(str(source), 15)
    cfg = Config.fromfile(A_DIGITS)
    cfg.train_dataloader.dataset.pipeline = [dict(type='vgg_mm.LoadImage'), dict(type='PackInputs')]
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        built = data_paths.build_sets(cfg, str(source), names, str(tmp_path))
    sets = [dataset for _, _, dataset in built]
    assert len(names) == 15 and [len(dataset) for dataset in sets] == [15] * 3
    for files, tar, lmdb in zip(*sets):
        assert torch.equal(files['inputs'], tar['inputs'])
        assert torch.equal(files['inputs'], lmdb['inputs'])
        labels = {int(one['data_samples'].gt_label) for one in (files, tar, lmdb)}
        assert len(labels) == 1


def test_without_lmdb_the_other_data_paths_are_measured(few_digits, monkeypatch):
    monkeypatch.setitem(sys.modules, 'lmdb', None)
    cfg = Config.fromfile(A_DIGITS)
    paths = data_paths.measure_data_paths(cfg, str(few_digits / 'val'), 0.01, 7)
    assert [(p.name, p.images) for p in paths] == [('image folders', 7), ('tar shards', 7)]
    assert 'LMDB: not measured' in data_paths.data_path_table(paths)


def test_shards_of_the_webdataset_library(few_digits, tmp_path):
    """TarShards reads the same bytes and labels as webdataset's reader."""
    webdataset = pytest.importorskip('webdataset')
    paths = sorted((few_digits / 'val').rglob('*.png'))
    with webdataset.ShardWriter(f'{tmp_path}/val-%06d.tar', maxcount=15, verbose=0) as writer:
        for number, path in enumerate(paths):
            image = dict(png=path.read_bytes(), cls=int(path.parent.name))
            writer.write({'__key__': f'{number:06}', **image})
    shards = sorted(map(str, tmp_path.glob('*.tar')))
    expected = list(webdataset.WebDataset(shards, shardshuffle=False))
    found = TarShards('val-{000000..000002}.tar', data_root=str(tmp_path), pipeline=[dict])
    assert len(shards) == 3 and len(found) == len(expected) == len(paths) == 40
    for one, other in zip(found, expected):
        assert (one['img_bytes'], one['gt_label']) == (other['png'], int(other['cls']))


@pytest.mark.parametrize(
    'options, message',
    [
        (('--per-image-ms', '1'), '--per-image-ms and --per-step-ms belong together'),
        (('--per-image-ms', '0', '--per-step-ms', '1'), '--per-image-ms must be positive, got 0.0'),
        ((*GIVEN, '--gpus', '0', '2'), '--gpus must be positive, got 0'),
        ((*GIVEN, '--gpus', '8', '12'), '--gpus 12: more than one node must be whole nodes of 8'),
        ((*GIVEN, '--gpus', '512'), '--gpus 512: more GPUs than the 256 images of a step'),
        ((*GIVEN, '--inter-GBps', 'nan'), '--inter-GBps must be positive, got nan'),
        ((*GIVEN, '--latency-us', '1', '-1'), '--latency-us must be at least 0, got -1.0'),
        ((*GIVEN, '--data', 'nowhere'), "no folder 'nowhere'"),
        (('nothing.py', *GIVEN), 'config not found: nothing.py'),
    ],
)
def test_wrong_options_are_one_clear_line(options, message, tmp_path):
    done = run_tool('benchmarks/scaling.py', *options, cwd=tmp_path, check=False)
    assert done.returncode == 1 and done.stdout == ''
    assert done.stderr.startswith(f'error: {message}') and done.stderr.count('\n') == 1


def test_images_outside_class_folders_are_rejected(few_digits):
    with pytest.raises(ValueError, match=r'expected .*/CLASS/\*.jpg, found '):
        data_paths.sample(str(few_digits / 'val/3'), 5)


def test_step_that_does_not_grow_is_measured_again(monkeypatch):
    times = iter([StepTime(0.0, 1.0), StepTime(0.5, 1.0)])
    monkeypatch.setattr(report, 'measure_step', lambda cfg, amp: next(times))
    assert report.measured_step(None, False) == StepTime(0.5, 1.0)
    monkeypatch.setattr(report, 'measure_step', lambda cfg, amp: StepTime(0.0, 1.0))
    with pytest.raises(ValueError, match='^5 times a step with more images took no longer'):
        report.measured_step(None, False)
