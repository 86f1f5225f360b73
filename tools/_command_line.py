"""What starts the scripts: each is a command of ``vgg-mm``, of the checkout where it lies."""

import os
import sys

#: Folder that holds tools and configs: the checkout, or vgg_mm/.mim of an installed package.
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)


def run(name: str) -> None:
    try:
        from vgg_mm_cli import main_of_script
    except ImportError as error:
        sys.exit(f'error: {error}')
    main_of_script(f'{name}.py')
