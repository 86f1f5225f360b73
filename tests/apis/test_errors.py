"""What the tools print on standard error."""

import os
import re
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from torch.utils.data import DataLoader, Dataset

import vgg_mm
from tests.conftest import ROOT
from vgg_mm.apis.config import read_config, warn_of_slow_bfloat16
from vgg_mm.apis.convert_weights import convert_weights
from vgg_mm.apis.errors import Kind, kind_of, named, one_line
from vgg_mm.apis.export import export
from vgg_mm.apis.finetune import finetune
from vgg_mm.apis.tables import format_table
from vgg_mm.apis.training import use_mixed_precision
from vgg_mm.checkpoints import load_checkpoint
from vgg_mm.datasets import LoadImage
from vgg_mm.models import VGG
from vgg_mm.text import suggest


@pytest.mark.parametrize(('call', 'message'), [
    (lambda: finetune('photos', 'net.pth', head='GAP'), "head must be 'fc' or 'gap', got 'GAP'"),
    (lambda: finetune('photos', 'net.pth', class_weights='equal'), "class_weights must be 'bal"),
    (lambda: export('net.pth', 'net.bin', to='tflite'), "to must be 'torchvision' or .*'tflite'"),
    (lambda: export('net.pth', 'n.safetensors', names='timm'), "names must be 'own' or 'torchv"),
    (lambda: convert_weights('a.h5', 'a.pth', preprocessing='keras'), "preprocessing must be 'to"),
])  # fmt: skip
def test_unknown_words_are_refused_in_python_as_on_the_command_line(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_closed_output_pipe_is_no_error(tmp_path):
    command = [sys.executable, '-W', 'ignore', str(ROOT / 'tools/net_table.py')]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        process.stdout.close()
        assert 'error' not in process.stderr.read().lower()


def test_error_of_a_data_loader_worker_is_its_last_line():
    wrapped = RuntimeError(
        'Caught ValueError in DataLoader worker process 0.\nOriginal Traceback ...\n'
        'ValueError: empty image file: a.jpg\n'
    )
    assert one_line(wrapped) == 'empty image file: a.jpg'
    assert one_line(KeyError('no such\nkey')) == 'no such key'
    assert one_line(ValueError()) == 'ValueError'


@pytest.mark.parametrize('flags, warns', [
    ('avx2', True), ('avx512f avx512bw avx512_vnni', True), ('avx512f avx512_bf16', False),
    ('amx_tile amx_bf16', False), ('asimd bf16', False),
])  # fmt: skip
def test_warning_of_emulated_bfloat16(monkeypatch, capsys, flags, warns):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr('vgg_mm.apis.config._processor_flags', lambda: set(flags.split()))
    warn_of_slow_bfloat16()
    assert ('no bfloat16 instructions' in capsys.readouterr().err) is warns


class Failing(Dataset):
    """Loads the image of ``results``, in a worker."""

    def __init__(self, results):
        self.load, self.results = LoadImage(), results

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self.load(self.results)


def build(**options):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(dict(type='vgg_mm.ConvHead', **options))


def load_in_worker(results):
    return next(iter(DataLoader(Failing(results), num_workers=1, collate_fn=list)))


def check_of_the_users():
    raise ValueError('check of the user')


def slip_of_the_users():
    return int('x')


#: Name of the case -> (failing function, kind of the error, regular expression of its line).
KINDS = {
    'check of a constructor': (lambda: VGG(arch='F'), Kind.USERS, "VGG: unknown arch 'F'"),
    'unknown type': (lambda: MODELS.build(dict(type='vgg_mm.VGGG')), Kind.USERS, 'VGGG is not in'),
    'unknown argument': (lambda: build(num_clases=3), Kind.USERS, "argument 'num_clases'"),
    'argument that no check knows': (
        lambda: build(num_classes=10, in_channels='many'), Kind.USERS, 'ConvHead: '
    ),
    'config without a key': (
        lambda: use_mixed_precision(Config(dict(a=1))), Kind.USERS, "no attribute 'optim_wrapper'"
    ),
    'missing file': (lambda: load_checkpoint('no.pth'), Kind.USERS, 'checkpoint not found: no.pth'),
    'file that Python does not find': (lambda: os.stat('no.txt'), Kind.USERS, 'No such file'),
    'memory': (lambda: torch.empty(2**60), Kind.USERS, "can't allocate memory"),
    'broken image in a worker': (
        lambda: load_in_worker(dict(img_path=__file__)), Kind.USERS, r'^not an image, .*_errors\.py'
    ),
    'slip in a worker': (lambda: load_in_worker(None), Kind.DEFECT, ''),
    'slip of the package': (lambda: suggest('a', None), Kind.DEFECT, ''),
    'what the package hands to a library': (lambda: format_table(1, []), Kind.DEFECT, ''),
    'check of the user': (check_of_the_users, Kind.USERS, '^check of the user$'),
    'slip of the user': (slip_of_the_users, Kind.OTHERS, ''),
}  # fmt: skip


@pytest.mark.parametrize('case', KINDS)
def test_kind_of_an_error(case):
    fail, kind, line = KINDS[case]
    with pytest.raises(Exception) as caught:
        fail()
    assert kind_of(caught.value) is kind, one_line(caught.value)
    assert re.search(line, one_line(caught.value))


def run_failing(code, cwd):
    """Run a command whose body is ``code``."""
    script = (
        f'import sys\nsys.path.insert(0, {str(ROOT)!r})\n'
        'from vgg_mm_cli.command import Command\n'
        f'def run(args):\n{code}\n'
        'Command("", lambda parser: None, run).main("tool.py")\n'
    )
    (cwd / 'tool.py').write_text(script)
    return subprocess.run([sys.executable, 'tool.py'], capture_output=True, text=True, cwd=cwd)


def test_a_defect_shows_its_traceback(tmp_path):
    code = '    from vgg_mm.text import suggest\n    suggest("a", None)'
    done = run_failing(code, tmp_path)
    *_, raised, line = done.stderr.splitlines()
    assert done.returncode == 1 and 'Traceback' in done.stderr
    assert 'vgg_mm/text.py' in done.stderr and raised.startswith('TypeError: ')
    assert line.startswith('error: TypeError: a bug in vgg_mm, not in your input. Please')
    assert f'vgg_mm {vgg_mm.__version__}, mmengine ' in line


def test_errors_of_other_code_are_unchanged(tmp_path):
    done = run_failing('    {}["key"]', tmp_path)
    assert done.returncode == 1 and done.stderr.splitlines()[-1] == "KeyError: 'key'"


def test_error_in_a_config_names_file_and_line(tmp_path):
    (tmp_path / 'base.py').write_text('a = 1\nb = a + missing\n')
    (tmp_path / 'config.py').write_text("_base_ = './base.py'\n")
    with pytest.raises(ValueError) as caught:
        read_config(str(tmp_path / 'config.py'))
    expected = f"{tmp_path}/base.py, line 2: NameError: name 'missing' is not defined"
    assert one_line(caught.value) == expected and kind_of(caught.value) is Kind.USERS


def test_named_prefixes_only_errors_of_the_user():
    with pytest.raises(ValueError, match=r"^stage A: VGG: unknown arch 'F'"), named('stage A'):
        VGG(arch='F')
    with pytest.raises(FileNotFoundError, match='^stage A: checkpoint not'), named('stage A'):
        load_checkpoint('no.pth')
    with pytest.raises(TypeError), named('stage A'):
        suggest('a', None)
