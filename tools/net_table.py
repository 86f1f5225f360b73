"""Print the paper's Tables 1 and 2 from the code: python tools/net_table.py [--net D]"""

from _command_line import run

if __name__ == '__main__':
    run('net_table')
