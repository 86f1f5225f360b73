"""Train a sequence of stages: python tools/train_chain.py configs/chains/vgg16_paper.py"""

from _command_line import run

if __name__ == '__main__':
    run('train_chain')
