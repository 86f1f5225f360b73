"""Write the embedded data set as class folders: python tools/prepare_data.py digits"""

from _command_line import run

if __name__ == '__main__':
    run('prepare_data')
