"""Print a config as one file: python tools/print_config.py CONFIG [--out FILE]"""

from _command_line import run

if __name__ == '__main__':
    run('print_config')
