"""Train a net: python tools/train.py configs/vgg/vgg16_jitter_imagenet.py"""

from _command_line import run

if __name__ == '__main__':
    run('train')
