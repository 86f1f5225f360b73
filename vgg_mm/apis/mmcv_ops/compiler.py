"""A C++ compiler for mmcv's operators that reads torch's headers once.

Run in the compiler's place: FOLDER COMPILER ARGUMENTS... All of mmcv's 80 files begin with torch's
headers, which take most of the time of each. The first file to be compiled has them precompiled
into FOLDER, with its own flags. Imports little: it is started 80 times.
"""

import os
import subprocess
import sys

from filelock import FileLock

#: What mmcv's files include first.
HEADER = '#include <torch/types.h>\n'

#: torch's headers need C++20 (since 2.14); without debugging symbols it is three times as fast.
#: The last of two flags that contradict each other counts.
FLAGS = ('-std=c++20', '-g0', '-w')


def main(folder: str, compiler: str, arguments: list[str]) -> None:
    command = [compiler, *arguments, *FLAGS]
    if '-c' in arguments and _is_gcc(compiler):
        command += ['-include', _precompiled(folder, compiler, arguments)]
    os.execvp(compiler, command)


def _is_gcc(compiler: str) -> bool:
    version = subprocess.run([compiler, '--version'], capture_output=True, text=True).stdout
    return 'Free Software Foundation' in version


def _precompiled(folder: str, compiler: str, arguments: list[str]) -> str:
    """The header to include; GCC uses the precompiled one next to it if the flags are the same."""
    header = os.path.join(folder, 'torch_headers.h')
    with FileLock(f'{header}.lock'):
        if not os.path.exists(header):
            with open(header, 'w') as file:
                file.write(HEADER)
            output = ['-x', 'c++-header', header, '-o', f'{header}.gch']
            subprocess.run([compiler, *_flags(arguments), *FLAGS, *output], check=True)
    return header


def _flags(arguments: list[str]) -> list[str]:
    """The arguments without files: ``-c FILE``, ``-o FILE``, ``-MF FILE``."""
    return [
        argument
        for before, argument in zip(['', *arguments], arguments)
        if argument.startswith('-')
        and argument not in ('-c', '-o', '-MF', '-MMD')
        and before not in ('-o', '-MF')
    ]


if __name__ == '__main__':
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
