"""Train A, then D from A, on the embedded digits and print a table of errors (make demo)."""

from _command_line import run

if __name__ == '__main__':
    run('demo')
