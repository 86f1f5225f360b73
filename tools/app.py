"""A page in the browser that shows what a net sees: python tools/app.py [WEIGHTS ...]"""

from _command_line import run

if __name__ == '__main__':
    run('app')
