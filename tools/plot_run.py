"""Draw WORK_DIR/curves.png: python tools/plot_run.py WORK_DIR [WORK_DIR ...]"""

from _command_line import run

if __name__ == '__main__':
    run('plot_run')
