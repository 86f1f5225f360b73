"""Test a checkpoint: python tools/test.py CONFIG CHECKPOINT --tta"""

from _command_line import run

if __name__ == '__main__':
    run('test')
