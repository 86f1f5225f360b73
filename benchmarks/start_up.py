"""What importing vgg_mm adds to importing MMPretrain, and how soon the tools answer --help.

python benchmarks/start_up.py [--repetitions 9] [--only import train.py test.py]

Fresh processes take turns. 'import': ``import mmpretrain, vgg_mm`` against ``import mmpretrain``.
'train.py --help' and 'test.py --help': this package's tool against the one in MMPretrain's package.
Checked before anything is timed: importing vgg_mm registers its parts, and a tool's help names
every option of MMPretrain's tool. CPU time of all threads is reported, and wall time with it.
Writes benchmarks/results/start_up.json.
"""

import argparse
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import goals
from machine import describe
from timing import in_turn, ratios, spread

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / 'benchmarks/results/start_up.json'
PEER, OURS = 'MMPretrain', 'vgg_mm'
IMPORT, TOOLS = 'import', ('train.py', 'test.py')

REGISTERED = """
import mmpretrain, vgg_mm
from mmengine.registry import MODELS, TRANSFORMS, HOOKS, METRICS, DATASETS
for registry, name in (
    (MODELS, 'VGG'), (MODELS, 'PaperTTA'), (TRANSFORMS, 'ScaleJitter'), (HOOKS, 'StagedInitHook'),
    (METRICS, 'TopKError'), (DATASETS, 'TarShards'),
):
    assert registry.get(f'vgg_mm.{name}'), name
"""


def commands(kind: str) -> dict[str, list[str]]:
    """The peer's command and this package's."""
    if kind == IMPORT:
        codes = {PEER: 'import mmpretrain', OURS: 'import mmpretrain, vgg_mm'}
        return {name: [sys.executable, '-c', code] for name, code in codes.items()}
    folders = {PEER: mmpretrain_folder() / '.mim/tools', OURS: ROOT / 'tools'}
    return {
        name: [sys.executable, str(folder / kind), '--help'] for name, folder in folders.items()
    }


def mmpretrain_folder() -> Path:
    spec = find_spec('mmpretrain')
    if spec is None or spec.origin is None:
        sys.exit("mmpretrain is not installed: pip install -e '.[onedl]'")
    return Path(spec.origin).parent


def title(kind: str) -> str:
    return kind if kind == IMPORT else f'{kind} --help'


def check(kind: str) -> None:
    """Check that both do the same, before they are timed."""
    if kind == IMPORT:
        subprocess.run([sys.executable, '-c', REGISTERED], cwd=ROOT, check=True)
        return
    options = {
        name: set(re.findall(r'--[a-z_-]+', subprocess.check_output(command, text=True)))
        for name, command in commands(kind).items()
    }
    missing = options[PEER] - options[OURS] - {'--local_rank', '--local-rank'}
    assert options[PEER] and not missing, f'{kind} has no {missing}'


def run(command: list[str]) -> dict[str, float]:
    """CPU and wall time of a process, in seconds."""
    start = time.perf_counter()
    child = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f'{shlex.join(command)} ended with status {child.returncode}')
    return dict(cpu=used.ru_utime + used.ru_stime, wall=wall)


def measure(pair: dict[str, list[str]], repetitions: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of every repetition: peer or this package -> 'cpu' or 'wall' -> list."""
    runs = in_turn({name: partial(run, command) for name, command in pair.items()}, repetitions)
    return {
        name: {clock: [one[clock] for one in found] for clock in ('cpu', 'wall')}
        for name, found in runs.items()
    }


def report(kind: str, times: dict[str, dict[str, list[float]]]) -> str:
    peer, own = (times[name]['cpu'] for name in (PEER, OURS))
    wall = ratios(times[OURS]['wall'], times[PEER]['wall'])
    found = ratios(own, peer)
    goal = goals.START_UP[kind]
    return (
        f'{kind}: {PEER} {statistics.median(peer):.2f} s, {OURS} {statistics.median(own):.2f} s; '
        f'ratio {spread(found, ".3f")}, wall {spread(wall, ".3f")}; goal {goal}: '
        f'{goal.verdict(statistics.median(found))}'
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--repetitions', type=int, default=9)
    parser.add_argument('--only', nargs='+', choices=[IMPORT, *TOOLS], default=[IMPORT, *TOOLS])
    parser.add_argument('--out', type=Path, default=RESULT)
    args = parser.parse_args()
    result = dict(machine=describe('torch'), seconds={})
    for kind in args.only:
        check(kind)
        times = measure(commands(kind), args.repetitions)
        result['seconds'][title(kind)] = times
        print(report(title(kind), times), flush=True)
    args.out.parent.mkdir(exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + '\n')


if __name__ == '__main__':
    main()
