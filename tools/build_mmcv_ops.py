"""Build mmcv's compiled operators once and install them: python tools/build_mmcv_ops.py"""

from _command_line import run

if __name__ == '__main__':
    run('build_mmcv_ops')
