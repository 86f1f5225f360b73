"""Print the paper's Tables 3 to 7 from test results: python tools/paper_table.py work_dirs"""

from _command_line import run

if __name__ == '__main__':
    run('paper_table')
