"""Installation, with what ``mim`` needs: configs, tools and the model index under vgg_mm/.mim."""

import os
import shutil
import sys

from setuptools import find_packages, setup

HERE = os.path.dirname(os.path.abspath(__file__))
MIM = os.path.join(HERE, 'vgg_mm', '.mim')
MIM_FILES = ('tools', 'configs', 'model-index.yml')


def read(*path):
    with open(os.path.join(HERE, *path), encoding='utf-8') as file:
        return file.read()


def requirements(name):
    lines = read('requirements', name).splitlines()
    return [line for line in lines if line and not line.startswith('#')]


def version():
    scope = {}
    exec(read('vgg_mm', 'version.py'), scope)
    return scope['__version__']


def add_mim_files():
    """Put configs and tools inside the package: links when developing, copies when packing."""
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
    setup(
        name='vgg_mm',
        version=version(),
        description='VGG for MMPretrain as its authors ran it',
        long_description=read('README.md'),
        long_description_content_type='text/markdown',
        license='Apache-2.0',
        keywords='computer vision, image classification, VGG, MMPretrain',
        packages=find_packages(include=['vgg_mm', 'vgg_mm.*']),
        package_data={'vgg_mm': ['py.typed', '.mim/**/*', '.mim/*']},
        include_package_data=True,
        python_requires='>=3.10',
        install_requires=requirements('runtime.txt') + requirements('mminstall.txt'),
        extras_require={
            'dev': requirements('dev.txt'),
            'digits': requirements('digits.txt'),
            'docs': requirements('docs.txt'),
            'downstream': requirements('downstream.txt'),
            'weights': requirements('weights.txt'),
            'export': requirements('export.txt') + requirements('weights.txt'),
            'fast': requirements('fast.txt'),
            'features': requirements('features.txt'),
            'tests': [
                line
                for name in ('digits', 'weights', 'export', 'fast', 'features', 'tests')
                for line in requirements(f'{name}.txt')
            ],
        },
        zip_safe=False,
    )
