"""Predict the classes of images: python tools/predict.py IMAGE|FOLDER|GLOB CHECKPOINT"""

from _command_line import run

if __name__ == '__main__':
    run('predict')
