"""Prints the table of test_matrix.py."""


def pytest_terminal_summary(terminalreporter):
    cells = {}
    for outcome in ('passed', 'failed'):
        for report in terminalreporter.stats.get(outcome, []):
            for name, value in getattr(report, 'user_properties', []):
                if name == 'matrix':
                    situation, net, way = value
                    cells.setdefault(situation, {})[net] = way
    if not cells:
        return
    nets = sorted({net for row in cells.values() for net in row})
    width = max(map(len, cells))
    terminalreporter.section('accelerated nets give what plain ones give')
    terminalreporter.write_line("fast: by faster layers; aside: by torch's layers")
    terminalreporter.write_line(f'{"":{width}}  ' + '  '.join(f'{net:11}' for net in nets))
    for situation, row in cells.items():
        line = '  '.join(f'{row.get(net, ""):11}' for net in nets)
        terminalreporter.write_line(f'{situation:{width}}  {line}'.rstrip())
