"""Runs blocks of commands by bash in a folder of their own.

bash handles loops, quotes, ``$(...)`` and ``&&`` like a reader's shell. The programs that it finds
are stand-ins, which pass their arguments to this process and wait for the answer. So tools run in
a short form, in processes that have already imported everything.
"""

import os
import re
import stat
import subprocess
import sys
import time

#: Programs that blocks may call; shortened.py defines what they do.
PROGRAMS = ('python', 'vgg-mm', 'pip', 'make', '.venv/bin/python', '.venv-dev/bin/pre-commit')

#: Ordinary programs, used as they are.
ORDINARY = ('cat',)

STAND_IN = """#!/bin/sh
call="{bridge}/$$"
printf '%s\\0' {program} "$@" > "$call.new" && /bin/mv "$call.new" "$call.call"
while [ ! -e "$call.code" ]; do /bin/sleep 0.02; done
/bin/cat "$call.out"
/bin/cat "$call.err" >&2
read code < "$call.code"
exit "$code"
"""


def prepare(folder, bridge):
    """Put the stand-ins where a shell in ``folder`` finds them."""
    (bridge / 'bin').mkdir(parents=True)
    for program in PROGRAMS:
        path = (folder if '/' in program else bridge / 'bin') / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(STAND_IN.format(bridge=bridge, program=program))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    for program in ORDINARY:
        (bridge / 'bin' / program).symlink_to(f'/bin/{program}')


def run_block(text, folder, bridge, answer):
    """Run commands in ``folder``; ``answer(words)`` runs one of the programs.

    Returns:
        ``subprocess.CompletedProcess``; the block stops at the first command that fails.
    """
    script = f'set -e -o pipefail\n{text}'
    outputs = [bridge / name for name in ('stdout', 'stderr')]
    with open(outputs[0], 'w') as out, open(outputs[1], 'w') as err:
        environment = {**os.environ, 'PATH': str(bridge / 'bin')}
        shell = subprocess.Popen(
            ['/bin/bash', '-c', script], cwd=folder, stdout=out, stderr=err, env=environment
        )
        while shell.poll() is None:
            for call in bridge.glob('*.call'):
                _answer(call, answer)
            time.sleep(0.02)
    return subprocess.CompletedProcess(script, shell.returncode, *(o.read_text() for o in outputs))


def _answer(call, answer):
    words = call.read_text().split('\0')[:-1]
    call.unlink()
    try:
        done = answer(words)
    except Exception as error:
        done = subprocess.CompletedProcess(words, 1, '', f'{type(error).__name__}: {error}\n')
    for suffix, text in (('.out', done.stdout), ('.err', done.stderr)):
        call.with_suffix(suffix).write_text(text)
    temporary = call.with_suffix('.codes')
    temporary.write_text(f'{done.returncode}\n')
    temporary.rename(call.with_suffix('.code'))


def commands_and_output(text):
    """The commands of a console block, as one string, and the output below them."""
    commands, output, continued = [], [], False
    for line in text.splitlines():
        if line.startswith('$ ') or continued:
            commands.append(line.removeprefix('$ '))
            continued = line.endswith('\\')
        else:
            output.append(line)
    return '\n'.join(commands), '\n'.join(output)


def agrees(shown, output):
    """Whether an output matches the one shown, in which a line ``...`` stands for any lines."""
    parts = [re.escape(part.strip('\n')) for part in re.split(r'^\.\.\.$', shown, flags=re.M)]
    return re.fullmatch(r'(.|\n)*'.join(parts), output.strip('\n')) is not None


def python_script(text, path):
    """Words of the command that runs Python code, given as text."""
    path.write_text(text)
    return [sys.executable, str(path)]
