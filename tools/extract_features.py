"""Features of images: python tools/extract_features.py [CONFIG] CHECKPOINT FOLDER --out FILE"""

from _command_line import run

if __name__ == '__main__':
    run('extract_features')
