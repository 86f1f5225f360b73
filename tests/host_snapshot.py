"""Compares everything in other packages that a plugin could change before and after its import.

python tests/host_snapshot.py mmengine mmcv mmpretrain    # exit status 1 if anything differs
"""

import importlib
import logging
import os
import pkgutil
import signal
import sys
import types
import warnings

warnings.filterwarnings('ignore')

#: Packages whose modules, classes and functions are compared.
HOSTS = ('mmengine', 'mmcv', 'mmpretrain', 'mmdet', 'mmseg', 'modelindex', 'torch', 'torchvision')

OWN = 'vgg_mm'

#: Attributes that any import or call changes.
CHANGING = {
    '__warningregistry__',
    '__annotations__',
    '__abstractmethods__',
    '__slotnames__',
    '_type_eval_globals',  # of torch.fx: all names of typing
}

#: Attributes with separate comparisons, which allow the additions of a plugin.
APART = {'_schemes', '_models_dict', 'backends', 'prefix_to_backends', '_backends'}


def import_everything(packages):
    """Import the packages and all of their parts that this package may import."""
    parts = ('apis', 'datasets', 'engine', 'evaluation', 'models', 'registry', 'structures')
    for package in packages:
        importlib.import_module(package)
        for part in (*parts, 'visualization'):
            name = f'{package}.{part}'
            if importlib.util.find_spec(name):
                importlib.import_module(name)


def value_of(value, depth=2):
    """A comparable value: the content of a container, the identity of other objects."""
    if isinstance(value, float):
        return repr(value)  # so that nan equals nan
    if isinstance(value, (str, bytes, int, type(None))):
        return value
    if depth and isinstance(value, dict):
        keys = (key if isinstance(key, (str, int)) else id(key) for key in value)
        return dict(zip(keys, (value_of(one, depth - 1) for one in list(value.values()))))
    if depth and isinstance(value, (list, tuple)):
        return [value_of(one, depth - 1) for one in value]
    if depth and isinstance(value, (set, frozenset)):
        return sorted(str(value_of(one, 0)) for one in value)
    return id(value)


def attributes(owner):
    return {
        name: value_of(value)
        for name, value in list(vars(owner).items())
        # Sub-modules become attributes when they are imported.
        if name not in CHANGING | APART and not isinstance(value, types.ModuleType)
    }


def code(function):
    return dict(
        code=id(function.__code__),
        defaults=value_of(function.__defaults__),
        named_defaults=value_of(function.__kwdefaults__),
    )


def modules(packages):
    """Every attribute of every module, class and function of the packages."""
    found = {}
    for name, module in list(sys.modules.items()):
        if module is None or name.split('.')[0] not in packages:
            continue
        found[name] = attributes(module)
        for key, value in list(vars(module).items()):
            home = getattr(value, '__module__', None)
            if home != name:
                continue
            if isinstance(value, type):
                found[f'{name}.{key}'] = attributes(value)
            elif isinstance(value, types.FunctionType):
                found[f'{name}.{key}'] = code(value)
    return found


def registries():
    """Name of the root registry -> its contents, and those of its children by scope."""
    import mmengine.registry as roots

    found = {}
    for name, root in vars(roots).items():
        if isinstance(root, roots.Registry):
            found[name] = _tree(root)
    return found


def _tree(registry):
    own = {key: id(value) for key, value in registry._module_dict.items()}
    children = {scope: _tree(child) for scope, child in registry._children.items()}
    return dict(own=own, parent=id(registry.parent), children=children)


def loaders():
    from mmengine.fileio import FileClient
    from mmengine.fileio.backends import backends, prefix_to_backends
    from mmengine.runner import CheckpointLoader

    return dict(
        checkpoints={key: id(value) for key, value in CheckpointLoader._schemes.items()},
        backends=value_of(backends),
        prefixes=value_of(prefix_to_backends),
        clients=value_of(FileClient._backends),
        client_prefixes=value_of(FileClient._prefix_to_backends),
    )


def models():
    """MMPretrain's list of models."""
    from mmpretrain.apis import ModelHub

    ModelHub._register_mmpretrain_models()
    return {
        name: [model.weights, str(model.config), id(model)]
        for name, model in ModelHub._models_dict.items()
    }


def process():
    """Settings of torch and of the process."""
    import torch

    backends = torch.backends
    return dict(
        dtype=str(torch.get_default_dtype()),
        device=str(torch.get_default_device()),
        grad=torch.is_grad_enabled(),
        inference=torch.is_inference_mode_enabled(),
        deterministic=torch.are_deterministic_algorithms_enabled(),
        threads=[torch.get_num_threads(), torch.get_num_interop_threads()],
        cudnn=[backends.cudnn.enabled, backends.cudnn.benchmark, backends.cudnn.deterministic],
        mkldnn=backends.mkldnn.enabled,
        precision=torch.get_float32_matmul_precision(),
        autocast=[str(torch.get_autocast_dtype(kind)) for kind in ('cpu', 'cuda')],
        swap=torch.__future__.get_swap_module_params_on_conversion(),
        random=torch.random.get_rng_state().sum().item(),
        safe_globals=value_of(torch.serialization.get_safe_globals()),
        hub=torch.hub.get_dir(),
        hooks=[
            list(hooks)
            for name, hooks in sorted(vars(torch.nn.modules.module).items())
            if name.startswith('_global_') and isinstance(hooks, dict)
        ],
        handlers=[id(one) for one in logging.getLogger().handlers],
        level=logging.getLogger().level,
        warnings={str(one): True for one in warnings.filters},
        environment=dict(os.environ),
        excepthook=id(sys.excepthook),
        signals=[id(signal.getsignal(one)) for one in (signal.SIGINT, signal.SIGTERM)],
    )


def snapshot(packages):
    return dict(
        modules=modules(packages),
        registries=registries(),
        loaders=loaders(),
        models=models(),
        process=process(),
    )


def differences(before, after, where=''):
    """Lines on what was changed or removed, or was added and does not belong to this package."""
    if isinstance(before, dict) and isinstance(after, dict):
        lines = []
        for key in before.keys() | after.keys():
            place = f'{where}.{key}' if where else str(key)
            if key not in after:
                lines.append(f'removed: {place}')
            elif key not in before:
                lines += [] if is_own(where, key, after[key]) else [f'added: {place}']
            else:
                lines += differences(before[key], after[key], place)
        return lines
    return [] if before == after else [f'changed: {where}: {before} -> {after}']


def is_own(where, key, value):
    """Whether a plugin may add this name: its scope, its models, its prefixes."""
    key = str(key)
    if where == 'models':
        return f'{os.sep}configs{os.sep}vgg{os.sep}' in value[1] and 'mmpretrain' not in value[1]
    if where == 'modules':
        return True  # imported for the first time
    if where.startswith(('registries', 'loaders')):
        return key == OWN or key.startswith((f'{OWN}://', f'{OWN}-', f'{OWN}.'))
    return False


def every_module_of(package):
    """Import all modules of a package whose dependencies are installed."""
    root = importlib.import_module(package)
    for found in pkgutil.walk_packages(root.__path__, f'{package}.'):
        try:
            importlib.import_module(found.name)
        except ImportError:
            continue


def main(packages):
    import_everything(packages)
    packages = (*packages, *(name for name in HOSTS if name in sys.modules))
    snapshot(packages)  # the first snapshot fills some caches
    first = snapshot(packages)
    importlib.import_module(OWN)
    lines = [f'import {OWN}: {line}' for line in differences(first, snapshot(packages))]
    every_module_of(OWN)
    later = differences(first, snapshot(packages))
    # Scientific libraries add filters for their own warnings when they are imported.
    later = [line for line in later if not line.startswith('added: process.warnings')]
    lines += [f'every module of {OWN}: {line}' for line in later]
    if lines:
        raise SystemExit('\n'.join(sorted(lines)))
    print(f'compared: {len(first["modules"]):,} modules, classes and functions')


if __name__ == '__main__':
    main(tuple(sys.argv[1:]))
