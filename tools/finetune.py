"""Fine-tune on your own photos: python tools/finetune.py FOLDER --weights torchvision://vgg16"""

from _command_line import run

if __name__ == '__main__':
    run('finetune')
