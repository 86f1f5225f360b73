"""Check a data set ahead of training: python tools/check_dataset.py FOLDER"""

from _command_line import run

if __name__ == '__main__':
    run('check_dataset')
