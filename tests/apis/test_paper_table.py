"""tools/paper_table.py on hand-made results: contents of the tables, three formats, test runs."""

import os
from collections import Counter
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from mmengine.config import Config

from tests.conftest import A_DIGITS, ROOT, run_tool
from vgg_mm.apis.paper_table import paper_table
from vgg_mm.apis.paper_table.report import document_table
from vgg_mm.apis.paper_table.run import Result, find_results, find_trained_nets, plan
from vgg_mm.apis.paper_table.tables import sections
from vgg_mm.evaluation import RECORDS_FILE, TestRecord, add_records, read_records
from vgg_mm.evaluation.paper_results import (
    JITTER,
    S256,
    TABLE_3,
    TABLE_4,
    TABLE_5,
    TABLE_6,
    TABLE_7,
)

BEST_TWO = list(TABLE_6[1].members)
THREE = (256, 384, 512)


def record(net='D', scale=JITTER, q=THREE, protocol='dense', **fields):
    imagenet = dict(width=64, images=50_000, data='/data/imagenet/val', imagenet=True)
    fields = {**imagenet, 'wrong': {1: 12_800, 5: 3_750}, 'seconds_per_image': 0.0381, **fields}
    return TestRecord(net, scale=scale, test_scales=q, protocol=protocol, **fields)


def digits(net='D', q=(64, 80, 96), protocol='dense', **fields):
    small = dict(width=16, images=360, data='data/digits/val', imagenet=False)
    return record(net, (64, 96), q, protocol, **{**small, 'wrong': {1: 9, 5: 0}, **fields})


RESULTS = {
    'vgg16_jitter_imagenet': [
        record(),
        record(q=(384,), wrong={1: 13_000, 5: 4_100}),
        record(protocol='multi_crop', protocols_together=3, seconds_per_image=0.5),
        record('D', S256, (256,), 'centre crop'),
        record('A', JITTER, (384,)),
    ],
    'narrow': [record(width=16, wrong={1: 20_000, 5: 9_000})],
    'ensembles': [record('D + E', members=BEST_TWO, seconds_per_image=0.0)],
    'digits/D': [digits(), digits(q=(80,)), digits(protocol='multi_crop')],
    'digits/D_kaiming': [digits(wrong={1: 18, 5: 0})],
    'photos': [digits('A', data='photos | mine/val', wrong={1: 100})],
    'odd': [digits('<b>&', data='<i>"&', images=3, wrong={1: 1})],
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder with results in ``work_dirs``, tables in ``tables``, printed text in ``text``."""
    folder = tmp_path_factory.mktemp('paper_table')
    for name, records in RESULTS.items():
        add_records(folder / 'work_dirs' / name, records)
    done = run_tool('paper_table.py', 'work_dirs', '--out', 'tables', cwd=folder)
    (folder / 'text').write_text(done.stdout)
    return folder


@pytest.fixture
def text(folder):
    return (folder / 'text').read_text()


@pytest.fixture
def found(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return sections(find_results(['work_dirs']))


def rows_of(text, title):
    """The lines of the first table with that title in the printed text."""
    lines = text[text.index(f'\n{title}\n') :].splitlines()[5:]
    return lines[: lines.index('')]


def test_rows_of_the_paper_beside_results(text):
    table_3 = rows_of(text, 'Table 3: one test scale')
    assert len(table_3) == len(TABLE_3) + 1
    (row,) = [line for line in table_3 if line.split()[:3] == ['D', '[256;512]', '384']]
    assert ' '.join(row.split()[4:]) == ('26.0 [25.6, 26.4] 8.2 [8.0, 8.4] 50,000 38.1 25.6 / 8.1')
    assert sum('missing' in line for line in table_3) == len(TABLE_3) - 1
    # A with S in [256;512] is not in the paper.
    assert table_3[1].split()[:3] == ['A', '[256;512]', '384'] and '/' not in table_3[1]
    assert len(rows_of(text, 'Table 4: several test scales')) == len(TABLE_4)
    table_5 = rows_of(text, 'Table 5: dense and multi-crop')
    assert len(table_5) == len(TABLE_5) and ' 38.1 ' in table_5[0] and ' 500.0* ' in table_5[1]
    assert table_5[2].split()[3:5] == ['dense+multi_crop', 'missing']
    assert '\n* time of one pass that gave several protocols\n' in text


def test_fusions_and_the_state_of_the_art(text):
    assert rows_of(text, 'Table 6: fusion of nets')[1].startswith('D + E [1] ')
    assert '\n[1] averages D [256;512] 256,384,512; E [256;512] 256,384,512\n' in text
    table_7 = rows_of(text, 'Table 7: the state of the art')
    assert len(table_7) == len(TABLE_7)
    assert [line.split()[-5:] for line in table_7[3:5]] == [
        ['-', '/', '-', '/', '7.9'], ['-', '/', '-', '/', '6.7']
    ]  # fmt: skip
    assert ['missing' in line for line in table_7] == [True] * 3 + [False] * 12


def test_other_data_and_other_nets_have_sections_of_their_own(text):
    imagenet, narrow, digit, clothing = (
        f'\n{text}'.index(f'\n{title}\n==')
        for title in (
            'ILSVRC-2012: /data/imagenet/val',
            'ILSVRC-2012, nets whose width is not 64: /data/imagenet/val',
            'data/digits/val',
            'photos | mine/val',
        )
    )
    assert 0 == imagenet < narrow < digit < clothing
    assert 'missing' not in text[narrow:] and 'paper' not in text[narrow:]
    assert 'D, width 16 ' in text[narrow:digit]
    several = rows_of(text[digit:], 'Several test scales (as Table 4)')
    assert len(several) == 2  # of one net, from two work directories
    assert 'digits/D) ' in several[0] and 'digits/D_kaiming) ' in several[1]
    # With few classes there is no top-5 error.
    (photo,) = rows_of(text[clothing:] + '\n\n', 'Several test scales (as Table 4)')
    assert photo.split('dense')[1].split() == ['27.8', '[23.4,', '32.6]', '360', '38.1']


def test_imagenet_is_shown_only_on_demand(tmp_path):
    add_records(tmp_path / 'digits', [digits()])
    text = run_tool('paper_table.py', 'digits', '--all', cwd=tmp_path).stdout
    assert text.startswith('ILSVRC-2012: no results\n')
    rows = sum(len(table) for table in (TABLE_3, TABLE_4, TABLE_5, TABLE_6)) + 3
    assert text.count(' missing ') == rows
    assert [s.title for s in sections(find_results([str(tmp_path)]))] == ['data/digits/val']


def test_markdown_is_well_formed(folder, found):
    text = (folder / 'tables/tables.md').read_text(encoding='utf-8')
    kinds = Counter(token.type for token in MarkdownIt('commonmark').enable('table').parse(text))
    tables = [table for section in found for table in section.tables]
    assert kinds['table_open'] == len(tables)
    assert kinds['tr_open'] == sum(len(table.rows) + 1 for table in tables)
    assert kinds['td_open'] == sum(len(document_table(t).headers) * len(t.rows) for t in tables)
    assert kinds['bullet_list_open'] == 0
    assert kinds['heading_open'] == 1 + len(found) + len(tables)


class Page(HTMLParser):
    """Counts tags and checks that they are closed and load nothing."""

    VOID = {'meta', 'link', 'br', 'img'}

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.cells = Counter(), [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        assert tag not in ('script', 'link', 'img', 'iframe', 'object')
        for name, value in attrs:
            assert '//' not in (value or ''), f'{tag} {name}={value}'
            if name in ('href', 'src', 'xlink:href'):
                assert value.startswith('#')
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags[tag] += 1

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        assert '@import' not in data and 'url(h' not in data
        if self.open and self.open[-1] == 'td':
            self.cells.append(data)


def test_html_is_self_contained(folder, found):
    text = (folder / 'tables/tables.html').read_text(encoding='utf-8')
    assert 'http:' not in text and 'https:' not in text
    page = Page(text)
    assert page.open == []
    # An error plot for each section; a cost plot where there are two points to compare.
    assert page.tags['h2'] == len(found) == 5
    assert page.tags['svg'] == 5 + 2
    assert page.tags['table'] == sum(len(section.tables) for section in found)
    rows = [row for s in found for t in s.tables for row in document_table(t).rows]
    written = [cell for row in rows for cell in row if cell]
    assert Counter(page.cells) == Counter(written)
    assert '<b>&, width 16' in page.cells and 'missing' in page.cells
    assert 'currentColor' in text and 'prefers-color-scheme: dark' in text


def test_the_same_results_give_the_same_files(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    # A folder that is given twice is read once.
    paper_table(['work_dirs', 'work_dirs/narrow'], out=str(tmp_path))
    assert capsys.readouterr().out == (folder / 'text').read_text()
    for name in ('tables.md', 'tables.html'):
        assert (tmp_path / name).read_text() == (folder / 'tables' / name).read_text()


def belongs_to(one, others):
    """Numbers of the paper's tables that contain a record; None is the table of centre crops."""
    compared = one.imagenet and one.width == 64
    same_net = [
        other
        for other in others
        if not other.members
        and (other.data, other.imagenet, other.net, other.width, other.scale, other.test_scales)
        == (one.data, one.imagenet, one.net, one.width, one.scale, one.test_scales)
    ]
    if one.members:
        in_table_7 = compared and one.members == BEST_TWO and one.protocol == 'dense+multi_crop'
        return [6, 7] if in_table_7 else [6]
    if one.protocol == 'centre crop':
        return [None]
    jittered = compared and one.scale == JITTER and one.test_scales == THREE
    if one.protocol != 'dense':
        return [5, 7] if jittered and (one.net, one.protocol) == ('E', 'dense+multi_crop') else [5]
    with_crops = any(other.protocol not in ('dense', 'centre crop') for other in same_net)
    table = 4 if len(one.test_scales) > 1 else 3
    return [table, 5] if with_crops or (jittered and one.net in 'DE') else [table]


records = st.builds(
    record,
    net=st.sampled_from(['A', 'D', 'E', 'MyNet']),
    scale=st.sampled_from([None, S256, JITTER]),
    q=st.sampled_from([(), (256,), (384,), THREE, (224, 256, 288)]),
    protocol=st.sampled_from(['centre crop', 'dense', 'multi_crop', 'dense+multi_crop', 'mixed']),
    width=st.sampled_from([64, 16]),
    imagenet=st.booleans(),
    data=st.sampled_from(['one', 'two']),
    members=st.sampled_from([[], BEST_TWO, ['A 256 256', 'D 256 256']]),
)


@settings(max_examples=200, deadline=None)
@given(found=st.lists(records, max_size=12), folders=st.lists(st.sampled_from('ab'), min_size=12))
def test_every_record_is_in_the_tables_it_belongs_to(found, folders):
    shown = [
        (id(row.record), table.number)
        for section in sections(map(Result, found, folders))
        for table in section.tables
        for row in table.rows
        if row.record
    ]
    expected = [(id(one), number) for one in found for number in belongs_to(one, found)]
    assert Counter(shown) == Counter(expected)


@settings(max_examples=50, deadline=None)
@given(found=st.lists(records, max_size=8))
def test_no_row_of_the_paper_is_left_out(found):
    section = sections([Result(one, 'a') for one in found], show_imagenet=True)[0]
    tables = {table.number: table.rows for table in section.tables}
    papers = {3: TABLE_3, 4: TABLE_4, 5: TABLE_5, 6: TABLE_6, 7: TABLE_7}
    for number, paper in papers.items():
        assert {row.paper for row in tables[number] if row.paper} == set(paper)
        for row in tables[number]:
            assert row.record or [r.paper for r in tables[number]].count(row.paper) == 1


def test_rows_are_in_the_order_of_the_paper():
    nets = ['MyNet', 'E', 'D', 'B-5x5', 'B', 'A-LRN', 'A']
    scales = [JITTER, (384, 384), S256]
    found = [Result(record(n, s, (q,), data='x', imagenet=False), '') for n in nets for s in scales
             for q in (384, 256)]  # fmt: skip
    rows = [row.record for row in sections(found)[0].tables[0].rows]
    assert list(dict.fromkeys(r.net for r in rows)) == [
        'A', 'A-LRN', 'B', 'B-5x5', 'D', 'E', 'MyNet'
    ]  # fmt: skip
    assert [r.scale for r in rows[:6:2]] == [S256, (384, 384), JITTER]
    assert [r.test_scales for r in rows[:2]] == [(256,), (384,)]


def trained(folder, data, scale, arch='D', width=64):
    """A work directory as written by training, with an empty checkpoint."""
    cfg = Config.fromfile(str(ROOT / f'configs/vgg/vgg16_{scale}_imagenet.py'))
    options = {'model.backbone.arch': arch, 'model.backbone.base_channels': width}
    cfg.merge_from_dict(options)
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = str(data)
    folder.mkdir(parents=True)
    cfg.dump(str(folder / 'config.py'))
    (folder / 'epoch_3.pth').touch()
    (folder / 'last_checkpoint').write_text('/elsewhere/epoch_3.pth')
    return folder


@pytest.fixture
def imagenet(tmp_path):
    for i in range(1000):
        (tmp_path / f'imagenet/val/n{i:08d}').mkdir(parents=True)
    return tmp_path / 'imagenet'


def planned(*folders):
    nets, skipped = find_trained_nets(map(str, folders))
    assert skipped == []
    return [test.tta_cfg for test in plan(nets, find_results(map(str, folders)))]


@pytest.mark.parametrize(
    'arch, scale, width, expected',
    [
        ('D', 's256', 64, ['dense_one_scale', 'dense']),
        ('D', 'jitter', 64, ['dense_one_scale', 'all']),
        ('C', 'jitter', 64, ['dense_one_scale', 'dense']),
        ('A', 's256', 64, ['dense_one_scale']),
        ('A', 'jitter', 64, []),
        ('A', 'jitter', 16, ['dense_one_scale', 'all']),
    ],
)
def test_plan_covers_the_rows_of_the_paper(tmp_path, imagenet, arch, scale, width, expected):
    assert planned(trained(tmp_path / 'net', imagenet, scale, arch, width)) == expected


@pytest.mark.parametrize(
    'done, expected',
    [
        ([record(q=(384,))], ['all']),
        ([record()], ['dense_one_scale', 'all']),
        ([record(protocol='multi_crop'), record(protocol='dense+multi_crop')],
         ['dense_one_scale', 'dense']),
        ([record(q=(384,)), *(record(protocol=row.protocol) for row in TABLE_5[:3])], []),
        ([record(q=(384,), width=16), record(q=(384,), data='elsewhere')],
         ['dense_one_scale', 'all']),
    ],
)  # fmt: skip
def test_plan_leaves_out_existing_results(tmp_path, imagenet, done, expected):
    folder = trained(tmp_path / 'net', imagenet, 'jitter')
    data = str(imagenet / 'val')
    here = [vars(one) | {'data': data} if one.data[0] == '/' else vars(one) for one in done]
    tested = dict(checkpoint='work_dirs/net/epoch_3.pth')
    add_records(folder, [TestRecord(**{**fields, **tested}) for fields in here])
    assert planned(folder) == expected
    if not expected:  # The net was trained on since.
        (folder / 'epoch_4.pth').touch()
        (folder / 'last_checkpoint').write_text('/elsewhere/epoch_4.pth')
        assert planned(folder) == ['dense_one_scale', 'all']
        (folder / 'last_checkpoint').write_text('/elsewhere/epoch_3.pth')
    # Another work directory is another net, without results.
    assert planned(folder, trained(tmp_path / 'other', imagenet, 'jitter'))[-2:] == [
        'dense_one_scale', 'all'
    ]  # fmt: skip


def test_commands_are_complete(tmp_path):
    (tmp_path / 'photos/val/cat').mkdir(parents=True)
    folder = trained(tmp_path / 'net', 'data/imagenet', 'jitter')
    nets, skipped = find_trained_nets([str(tmp_path)])
    assert nets == [] and skipped == [
        f"{folder}: no data folder 'data/imagenet/val': give yours with data_root"
    ]
    # --data-root replaces the DATA_ROOT of the config.
    nets, _ = find_trained_nets([str(tmp_path)], data_root=str(tmp_path / 'photos'))
    test = plan(nets, [])[1]
    assert test.arguments('photos') == [
        f'{folder}/config.py', f'{folder}/epoch_3.pth', '--tta', '--tta-cfg', 'all',
        '--work-dir', str(folder), '--cfg-options', 'DATA_ROOT=photos',
    ]  # fmt: skip
    assert '--cfg-options' not in test.arguments()


def test_other_results_are_shown_after_a_failed_test(tmp_path, imagenet):
    folder = trained(tmp_path / 'work_dirs/net', imagenet, 's256', 'A')
    broken = tmp_path / 'work_dirs/without_config'
    broken.mkdir()
    (broken / 'last_checkpoint').touch()
    add_records(tmp_path / 'work_dirs/other', [digits()])
    done = run_tool('paper_table.py', 'work_dirs', '--run', cwd=tmp_path, check=False)
    assert done.returncode == 1 and done.stderr.splitlines()[-1] == (
        'error: 1 of 1 tests failed (see above)'
    )
    lines = done.stdout.splitlines()
    assert lines[0] == 'skipped: work_dirs/without_config: no config (.py) beside the checkpoint'
    name = os.path.relpath(folder, tmp_path)
    assert lines[1] == (
        f'test 1 of 1: tools/test.py {name}/config.py {name}/epoch_3.pth --tta '
        f'--tta-cfg dense_one_scale --work-dir {name}'
    )
    assert lines[2].startswith(f'failed: {name}, dense_one_scale: ')
    assert lines[3] == 'data/digits/val'


def test_missing_results_are_tested(net_a, few_digits, tmp_path):
    """On a trained net; a second run has no tests left."""
    folder = tmp_path / 'work_dirs/net_a'
    folder.mkdir(parents=True)
    Config.fromfile(A_DIGITS).dump(str(folder / 'vgg11_jitter_digits.py'))
    checkpoint = (net_a / 'last_checkpoint').read_text()
    (folder / 'last_checkpoint').write_text(checkpoint)
    options = ['work_dirs', '--run', '--data-root', few_digits]
    run_tool('paper_table.py', *options, cwd=tmp_path)
    found = {(r.test_scales, r.protocol) for r in read_records(folder / RECORDS_FILE)}
    several = {((64, 80, 96), row.protocol) for row in TABLE_5}
    assert found == {((80,), 'dense'), *several}
    again = run_tool('paper_table.py', *options, cwd=tmp_path).stdout
    assert again.startswith('no test is missing\n')


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(folders=['nowhere']), 'no such folder: nowhere'),
        (dict(folders=['empty']), 'no results (test_results.jsonl) in empty; tools/test.py leaves'),
        (dict(folders=['empty'], show_imagenet=True), 'no results (test_results.jsonl) in empty;'),
        (dict(folders=['empty'], data_root='data'), "data_root='data' has no effect without run"),
        (dict(folders=['.']), './broken/test_results.jsonl, line 1: not a test record'),
    ],
)
def test_errors_are_one_clear_line(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'broken').mkdir()
    (tmp_path / 'broken' / RECORDS_FILE).write_text('{\n')
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        paper_table(**options)
    assert str(error.value).removeprefix('./').startswith(message.removeprefix('./'))
    assert '\n' not in str(error.value)


def test_error_of_the_tool_is_one_line(tmp_path):
    done = run_tool('paper_table.py', 'nowhere', cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (1, '')
    assert done.stderr == 'error: no such folder: nowhere\n'
