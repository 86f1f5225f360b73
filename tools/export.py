"""Write a trained net for other programs: python tools/export.py CHECKPOINT OUT.onnx"""

from _command_line import run

if __name__ == '__main__':
    run('export')
