"""Mean RGB and PCA of your own images: python tools/rgb_statistics.py FOLDER"""

from _command_line import run

if __name__ == '__main__':
    run('rgb_statistics')
