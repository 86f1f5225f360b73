"""Average the posteriors of several nets: python tools/ensemble.py FILE.npz FILE.npz ..."""

from _command_line import run

if __name__ == '__main__':
    run('ensemble')
