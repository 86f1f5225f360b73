"""The paper's results: completeness, the test scales that follow from S, and consistency."""

import pytest

from vgg_mm.architectures import ARCHITECTURES
from vgg_mm.evaluation.ensemble import scale_texts
from vgg_mm.evaluation.paper_results import TABLE_3, TABLE_4, TABLE_5, TABLE_6, TABLE_7


def find(table, net, scale, protocol='dense'):
    (row,) = [row for row in table if (row.net, row.scale, row.protocol) == (net, scale, protocol)]
    return row


@pytest.mark.parametrize(
    'table, rows', [(TABLE_3, 12), (TABLE_4, 10), (TABLE_5, 6), (TABLE_6, 4), (TABLE_7, 15)]
)
def test_every_row_is_there_once(table, rows):
    assert len(table) == rows
    assert len({row[:4] for row in table}) == rows


@pytest.mark.parametrize(
    'table, net, scale, protocol, q, top1, top5',
    [
        (TABLE_3, 'A-LRN', (256, 256), 'dense', '256', 29.7, 10.5),
        (TABLE_3, 'C', (384, 384), 'dense', '384', 28.1, 9.3),
        (TABLE_3, 'D', (256, 512), 'dense', '384', 25.6, 8.1),
        (TABLE_4, 'B', (256, 256), 'dense', '224,256,288', 28.2, 9.6),
        (TABLE_4, 'E', (384, 384), 'dense', '352,384,416', 26.7, 8.6),
        (TABLE_5, 'D', (256, 512), 'dense', '256,384,512', 24.8, 7.5),
        (TABLE_5, 'E', (256, 512), 'dense+multi_crop', '256,384,512', 24.4, 7.1),
        (TABLE_6, 'D + E', (256, 512), 'multi_crop', '256,384,512', 23.9, 7.2),
    ],
)
def test_rows_of_the_paper(table, net, scale, protocol, q, top1, top5):
    row = find(table, net, scale, protocol)
    assert (scale_texts(row)[1], row.top1, row.top5) == (q, top1, top5)


def test_nets_and_errors_make_sense():
    for row in (*TABLE_3, *TABLE_4, *TABLE_5):
        assert row.net in ARCHITECTURES
        assert 0 < row.top5 < row.top1 < 100
    for row in (*TABLE_6, *TABLE_7):
        assert row.top1 is None or row.top5 < row.top1
        assert (row.top1, row.test_top5) != (None, None)


def test_several_scales_are_better_than_one():
    for row in TABLE_4:
        assert row.top1 < find(TABLE_3, row.net, row.scale).top1


def test_fusions():
    submission, *best_two = TABLE_6
    assert sorted(submission.members) == [
        'C 256 224,256,288',
        'C 384 352,384,416',
        'D 256 224,256,288',
        'D 384 352,384,416',
        'D [256;512] 256,384,512',
        'E 256 224,256,288',
        'E 384 352,384,416',
    ]
    assert (submission.scale, submission.test_scales) == (None, ())
    for row in best_two:
        assert row.members == ('D [256;512] 256,384,512', 'E [256;512] 256,384,512')
    assert [row.test_top5 for row in TABLE_6] == [7.3, 7.0, None, 6.8]


def test_table_7_begins_with_the_papers_results():
    assert [row[4:7] for row in TABLE_7[:3]] == [
        (23.7, 6.8, 6.8),
        (24.4, 7.1, 7.0),
        (24.7, 7.5, 7.3),
    ]
    assert not any(row.protocol for row in TABLE_7[3:])
