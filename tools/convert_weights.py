"""Convert other libraries' weights: python tools/convert_weights.py torchvision://vgg16 OUT.pth"""

from _command_line import run

if __name__ == '__main__':
    run('convert_weights')
