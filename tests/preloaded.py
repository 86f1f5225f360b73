"""Runs tools in processes with all modules imported, so that a run takes a few seconds, not ten."""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile

PRELOADED = [
    'vgg_mm.apis.training',
    'vgg_mm.apis.testing',
    'mmpretrain.models',
    'mmpretrain.datasets',
]

_context = multiprocessing.get_context('forkserver')
_context.set_forkserver_preload(PRELOADED)


def start(target, *args):
    """Start a process that runs ``target(*args)``."""
    process = _context.Process(target=target, args=args)
    process.start()
    return process


def run(command, cwd):
    """Same result as ``subprocess.run([sys.executable, *command], cwd=cwd, ...)``."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = [os.path.join(folder, name) for name in ('stdout', 'stderr')]
        process = start(_run_script, command, str(cwd), outputs)
        process.join()
        texts = []
        for path in outputs:
            with open(path, encoding='utf-8', errors='replace') as file:
                texts.append(file.read())
    return subprocess.CompletedProcess(command, process.exitcode, *texts)


def _run_script(command, cwd, outputs):
    for number, path in zip((1, 2), outputs):
        file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(file, number)
    os.chdir(cwd)
    sys.argv = command
    sys.path.insert(0, os.path.dirname(command[0]))
    runpy.run_path(command[0], run_name='__main__')
