"""Ways to use a net. Each function runs the net and returns the outputs to be compared."""

import io
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from itertools import permutations

import torch
import torch.nn as nn
from mmengine.model import ExponentialMovingAverage
from torch.autograd import forward_ad
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import parametrizations, parametrize
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.feature_extraction import create_feature_extractor

from vgg_mm.kernels import accelerate
from vgg_mm.models import VGG

Net, Outputs = VGG, list[torch.Tensor]

#: How a net runs: with its faster layers, with torch's layers ("aside"), or with both in turn.
FAST, ASIDE, BOTH = 'fast', 'aside', 'fast, aside'

SITUATIONS: dict[str, tuple[Callable[[Net, torch.Tensor], Outputs], str]] = {}


def situation(way: str = FAST):
    def add(function):
        SITUATIONS[function.__name__.replace('_', ' ').strip()] = function, way
        return function

    return add


def gradients(net: nn.Module, x: torch.Tensor) -> Outputs:
    """The feature map, and the gradients of the image and the weights."""
    x = x.detach().requires_grad_()
    (out,) = net(x)
    parameters = [p for p in net.parameters() if p.requires_grad]
    return [out, *torch.autograd.grad(out.square().sum(), [x, *parameters])]


def last_conv(net: Net) -> nn.Module:
    return getattr(net, net.layer_names[-1])


@situation()
def training(net, x):
    return gradients(net.train(), x)


@situation()
def evaluation_with_gradients(net, x):
    return gradients(net.eval(), x)


def evaluated(net: Net, x: torch.Tensor, context) -> Outputs:
    with context():
        return list(net.eval()(x))


MODES = {
    'training': training,
    'evaluation': lambda net, x: list(net.eval()(x)),
    'no_grad': lambda net, x: evaluated(net, x, torch.no_grad),
    'inference_mode': lambda net, x: evaluated(net, x, torch.inference_mode),
}


@situation()
def no_grad(net, x):
    return MODES['no_grad'](net, x)


@situation()
def inference_mode(net, x):
    return MODES['inference_mode'](net, x)


@situation()
def each_mode_after_each(net, x):
    # In a new thread, whose kernel buffers have not been used before.
    def run():
        return [MODES[mode](net, x)[0] for pair in permutations(MODES, 2) for mode in pair]

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


@situation(BOTH)
def autocast_on_and_off(net, x):
    outs = gradients(net, x)
    with torch.autocast('cpu', torch.bfloat16):
        half = gradients(net, x)
    assert half[0].dtype == torch.bfloat16
    return [*outs, *gradients(net, x)]


@situation()
def backward_inside_autocast(net, x):
    (out,) = net(x)
    with torch.autocast('cpu', torch.bfloat16):
        out.square().sum().backward()
    return [out, *(p.grad for p in net.parameters())]


@situation()
def four_threads_at_once(net, x):
    inputs = [x * scale for scale in (1, 2, 3, 4)]
    with ThreadPoolExecutor(4) as pool:
        return sum(pool.map(lambda x: gradients(net, x), inputs), [])


class Features(Dataset):
    def __init__(self, net: Net, x: torch.Tensor):
        self.net, self.x = net.eval(), x

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int):
        with torch.no_grad():
            return self.net(self.x[i : i + 1])[0].numpy()


@situation()
def forked_workers_of_a_loader(net, x):
    gradients(net, x)  # allocates the parent's kernel buffers before the workers fork
    loader = DataLoader(Features(net, x), num_workers=2, multiprocessing_context='fork')
    return [torch.as_tensor(batch) for batch in loader]


@situation()
def deep_copy(net, x):
    return gradients(deepcopy(net), x)


@situation()
def pickled(net, x):
    return gradients(pickle.loads(pickle.dumps(net)), x)


@situation()
def saved_whole(net, x):
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    return gradients(torch.load(file, weights_only=False), x)


@situation()
def moving_average(net, x):
    average = ExponentialMovingAverage(net, momentum=0.5)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(0.9)
    average.update_parameters(net)
    average.update_parameters(net)
    return MODES['no_grad'](average.module, x)


@situation(BOTH)
def double_backward(net, x):
    x = x.detach().requires_grad_()
    (out,) = net(x)
    (grad,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
    grad.square().sum().backward()
    return [out, grad, *(p.grad for p in net.parameters() if p.ndim > 1)]


@situation(BOTH)
def batched_gradients(net, x):
    (out,) = net(x.requires_grad_())
    directions = torch.stack([torch.ones_like(out), out.detach()])
    return [out, *torch.autograd.grad(out, x, directions, is_grads_batched=True)]


@situation()
def functional_call(net, x):
    scaled = {name: p.detach() * 0.9 for name, p in net.named_parameters()}
    return list(torch.func.functional_call(net, scaled, (x,)))


@situation(ASIDE)
def vmap_of_grad(net, x):
    weights = {name: p.detach() for name, p in net.named_parameters()}

    def loss(weights, image):
        return torch.func.functional_call(net, weights, (image[None],))[0].square().sum()

    found = torch.func.vmap(torch.func.grad(loss), (None, 0))(weights, x)
    return list(found.values())


@situation(ASIDE)
def jvp(net, x):
    return list(torch.func.jvp(lambda x: net(x)[0], (x,), (torch.ones_like(x),)))


@situation(ASIDE)
def forward_mode(net, x):
    with forward_ad.dual_level():
        (out,) = net(forward_ad.make_dual(x, torch.ones_like(x)))
        return list(forward_ad.unpack_dual(out))


@situation(ASIDE)
def fx_trace(net, x):
    return gradients(torch.fx.symbolic_trace(net), x)


@situation(ASIDE)
def feature_extractor(net, x):
    # torchvision renumbers names that end in a number: relu5_2 becomes relu5_1.
    found = create_feature_extractor(net, {'pool3': 'a', 'relu5_1': 'b', 'pool5': 'c'})(x)
    assert list(found) == ['a', 'b', 'c']
    return list(found.values())


@situation(ASIDE)
def compiled(net, x):
    torch._dynamo.reset()
    return gradients(torch.compile(net, backend='aot_eager', fullgraph=True), x)


@situation(ASIDE)
def torch_export(net, x):
    return list(torch.export.export(net.eval(), (x,)).module()(x))


@situation(ASIDE)
def torchscript_trace(net, x):
    return gradients(torch.jit.trace(net.eval(), x, check_trace=False), x)


@situation(ASIDE)
def onnx(net, x):
    file = io.BytesIO()
    torch.onnx.export(net.eval(), (x,), file, dynamo=False)
    assert b'MaxPool' in file.getvalue() and b'Conv' in file.getvalue()
    return [torch.frombuffer(bytearray(file.getvalue()), dtype=torch.uint8).float().sort().values]


@situation(ASIDE)
def counting_operations(net, x):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        outs = list(net(x))
    return [*outs, torch.tensor(counter.get_total_flops())]


@situation(ASIDE)
def weight_norm_before(net, x):
    accelerated = type(net) is not VGG
    accelerate(net, on=False)
    for name in net.layer_names:
        parametrizations.weight_norm(getattr(net, name))
    return gradients(accelerate(net) if accelerated else net, x)


@situation()
def weight_norm_after(net, x):
    for name in net.layer_names:
        parametrizations.weight_norm(getattr(net, name))
    outs = gradients(deepcopy(net), x)
    accelerate(net, on=False)
    outs += gradients(net, x)
    for name in net.layer_names:
        parametrize.remove_parametrizations(getattr(net, name), 'weight')
    assert type(last_conv(net)) is nn.Conv2d
    return [*outs, *net(x)]


@situation()
def spectral_norm(net, x):
    torch.manual_seed(0)
    parametrizations.spectral_norm(last_conv(net), n_power_iterations=2)
    return gradients(net.eval(), x)


@situation()
def weight_norm_by_hooks(net, x):
    nn.utils.weight_norm(last_conv(net))
    return gradients(net, x)


@situation()
def a_forward_hook_keeps_a_convolution(net, x):
    kept = []
    last_conv(net).register_forward_hook(lambda module, args, out: kept.append(out))
    outs = gradients(net, x)
    assert kept[0].min() < 0, 'overwritten by the ReLU'
    return [*outs, *kept]


@situation()
def hooks_on_every_module_of_the_process(net, x):
    kept = []
    handle = register_module_forward_hook(lambda module, args, out: kept.append(out))
    try:
        outs = gradients(net, x)
    finally:
        handle.remove()
    return [*outs, *(out for out in kept if isinstance(out, torch.Tensor))]


@situation()
def full_backward_hooks(net, x):
    """As in Grad-CAM: hooks on the last convolution, its ReLU and earlier layers."""
    seen = []
    last = net.layer_names[-1]
    for name in ('conv1_1', 'relu1_1', last, last.replace('conv', 'relu')):
        layer = getattr(net, name)
        layer.register_full_backward_hook(lambda module, into, out: seen.append(out[0]))
    return [*gradients(net, x), *seen]


@situation()
def a_forward_pre_hook_changes_what_comes_in(net, x):
    last_conv(net).register_forward_pre_hook(lambda module, args: (args[0] * 2,))
    return gradients(net, x)


@situation()
def a_tensor_hook_changes_a_gradient(net, x):
    def hook(module, args, out):
        out.register_hook(lambda grad: grad * 2)

    last_conv(net).register_forward_hook(hook)
    return gradients(net, x)


@situation()
def saved_tensors_elsewhere(net, x):
    with torch.autograd.graph.save_on_cpu():
        return gradients(net, x)


@situation(ASIDE)
def double(net, x):
    return gradients(net.double(), x.double())


@situation()
def default_dtype_float64(net, x):
    torch.set_default_dtype(torch.float64)
    try:
        return gradients(net, x)
    finally:
        torch.set_default_dtype(torch.float32)


@situation()
def default_device_meta(net, x):
    with torch.device('meta'):
        return gradients(net, x)


@situation()
def channels_last_in(net, x):
    return gradients(net, x.contiguous(memory_format=torch.channels_last))


@situation()
def channels_last_net(net, x):
    net.to(memory_format=torch.channels_last)
    return gradients(net, x.contiguous(memory_format=torch.channels_last))


@situation()
def frozen_blocks(net, x):
    net.frozen_stages = 2
    return gradients(net.train(), x)


@situation()
def recomputed_blocks(net, x):
    net.with_cp = True
    return gradients(net.train(), x)


@situation()
def an_optimizer_that_was_there_before(net, x):
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)
    accelerated = type(net) is not VGG
    for on in (False, accelerated):
        accelerate(net, on=on)
        optimizer.zero_grad()
        net(x)[0].mean().backward()
        optimizer.step()
    return list(net(x))
