"""Puts what ``mim`` and an installed package need (configs, tools, model index) under vgg_mm/.mim.

All else that setuptools is told stands in pyproject.toml.
"""

import os
import shutil
import sys

from setuptools import setup

HERE = os.path.dirname(os.path.abspath(__file__))
MIM = os.path.join(HERE, 'vgg_mm', '.mim')
MIM_FILES = ('tools', 'configs', 'model-index.yml')


def add_mim_files():
    """Links when developing, copies when packing."""
    link = 'develop' in sys.argv or 'editable_wheel' in sys.argv
    shutil.rmtree(MIM, ignore_errors=True)
    os.makedirs(MIM)
    for name in MIM_FILES:
        source, target = os.path.join(HERE, name), os.path.join(MIM, name)
        if link:
            os.symlink(os.path.relpath(source, MIM), target)
        elif os.path.isdir(source):
            shutil.copytree(source, target, ignore=shutil.ignore_patterns('__pycache__'))
        else:
            shutil.copyfile(source, target)


if __name__ == '__main__':
    add_mim_files()
    setup()
