"""What the tools say on standard error, and what they do not."""

import subprocess
import sys

import pytest
import torch

from tests.conftest import ROOT
from vgg_mm.apis.config import warn_of_slow_bfloat16
from vgg_mm.apis.errors import one_line


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    command = [sys.executable, '-W', 'ignore', str(ROOT / 'tools/net_table.py')]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        process.stdout.close()
        assert 'error' not in process.stderr.read().lower()


def test_errors_of_data_loader_workers_are_their_last_line():
    wrapped = RuntimeError(
        'Caught ValueError in DataLoader worker process 0.\nOriginal Traceback ...\n'
        'ValueError: empty image file: a.jpg\n'
    )
    assert one_line(wrapped) == 'empty image file: a.jpg'
    assert one_line(KeyError('no such\nkey')) == 'no such key'
    assert one_line(ValueError()) == 'ValueError'


@pytest.mark.parametrize('capability, warns', [('AVX2', True), ('AVX512', False)])
def test_emulated_bfloat16_is_named(monkeypatch, capsys, capability, warns):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(torch.backends.cpu, 'get_cpu_capability', lambda: capability)
    warn_of_slow_bfloat16()
    assert ('no bfloat16 instructions' in capsys.readouterr().err) is warns
