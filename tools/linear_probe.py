"""A linear SVM on features: python tools/linear_probe.py FEATURES --test FEATURES"""

from _command_line import run

if __name__ == '__main__':
    run('linear_probe')
