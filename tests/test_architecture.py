"""Imports lead from upper layers to lower ones, without cycles (docs/architecture.md)."""

import ast
from pathlib import Path

import pytest
import torch

from tests.conftest import ROOT

#: Layers from top to bottom. Parts of the same layer may import each other, without cycles.
LAYERS = (
    ('tools', 'benchmarks', 'studies'),
    ('vgg_mm_cli',),
    ('apis',),
    ('visualization',),
    ('engine', 'evaluation', 'datasets', 'models', 'kernels'),
    ('zoo',),
    ('checkpoints',),
    (
        'registry',
        'architectures',
        'installation',
        'progress',
        'seeding',
        'slow_imports',
        'stack',
        'text',
        'version',
    ),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

#: Folders of scripts in the checkout.
FOLDERS = ('tools', 'benchmarks', 'studies')


def find_modules(folder: Path, prefix: str = '') -> dict[str, Path]:
    """Module name -> file, for a package or a folder of scripts."""
    paths = [path for path in folder.rglob('*.py') if '.mim' not in path.parts]
    return {
        '.'.join([*filter(None, [prefix]), *path.relative_to(folder).with_suffix('').parts])
        .removesuffix('.__init__'): path
        for path in paths
    }  # fmt: skip


PACKAGE = find_modules(ROOT / 'vgg_mm', 'vgg_mm')
# The package itself belongs to no layer: it gives access to all of its parts.
PACKAGE.pop('vgg_mm')
MODULES = {
    **PACKAGE,
    **find_modules(ROOT / 'vgg_mm_cli', 'vgg_mm_cli'),
    **{n: p for name in FOLDERS for n, p in find_modules(ROOT / name).items()},
}


def imported_by(name: str, path: Path, known) -> set[str]:
    """The known modules that a module imports anywhere, including imports for type hints."""
    package = name if path.name == '__init__.py' else name.rpartition('.')[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split('.')[: len(package.split('.')) - node.level + 1]
            parts = [*(parents if node.level else []), *filter(None, [node.module])]
            base = '.'.join(parts)
            for alias in node.names:
                inner = f'{base}.{alias.name}'
                found.add(inner if inner in known else base)
    return (found & known.keys()) - {name}


@pytest.fixture(scope='module')
def arrows() -> dict[str, set[str]]:
    return {name: imported_by(name, path, MODULES) for name, path in MODULES.items()}


def layer_of(name: str) -> str:
    path = MODULES[name].relative_to(ROOT)
    return path.parts[1].removesuffix('.py') if path.parts[0] == 'vgg_mm' else path.parts[0]


def cycles(arrows: dict[str, set[str]]) -> list[set[str]]:
    """Strongly connected components of several modules, from the transitive closure."""
    names = list(arrows)
    place = {name: i for i, name in enumerate(names)}
    reach = torch.eye(len(names))
    for name, others in arrows.items():
        for other in others:
            reach[place[name], place[other]] = 1
    while True:
        further = (reach @ reach).clamp(max=1)
        if torch.equal(further, reach):
            break
        reach = further
    both = (reach * reach.T).bool()
    found = {frozenset(names[i] for i in row.nonzero().flatten()) for row in both}
    return sorted((set(one) for one in found if len(one) > 1), key=sorted)


def test_every_module_is_in_a_layer():
    unknown = {layer_of(name) for name in MODULES} - LEVEL.keys()
    assert not unknown, f'name a layer of tests/test_architecture.py for {unknown}'


def test_imports_lead_down(arrows):
    upward = {
        (name, other)
        for name, others in arrows.items()
        for other in others
        if LEVEL[layer_of(other)] < LEVEL[layer_of(name)]
    }
    assert not upward


def test_there_are_no_cycles_of_modules(arrows):
    assert not cycles(arrows)


def test_there_are_no_cycles_of_packages(arrows):
    between: dict[str, set[str]] = {layer_of(name): set() for name in arrows}
    for name, others in arrows.items():
        between[layer_of(name)] |= {layer_of(other) for other in others} - {layer_of(name)}
    assert not cycles(between)


def test_cycles_and_imports_are_found():
    arrows = {'a': {'b'}, 'b': {'c'}, 'c': {'a'}, 'd': {'a'}, 'e': set()}
    assert cycles(arrows) == [{'a', 'b', 'c'}]
    found = imported_by(
        'vgg_mm.models.tta.localisation_tta', PACKAGE['vgg_mm.models.tta.localisation_tta'], MODULES
    )
    assert 'vgg_mm.registry' in found and any('checkpoints' in name for name in found)
