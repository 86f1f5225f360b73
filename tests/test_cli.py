"""The console command ``vgg-mm``, which runs the tools; test_wheel.py tests it installed."""

import argparse
import ast
import pkgutil
import re
import shlex
import subprocess
import sys

import pytest

from tests import preloaded
from tests.conftest import ROOT, run_tool
from tests.docs.world import write_checkpoint
from vgg_mm.installation import argument, arguments_as_options, command
from vgg_mm_cli import COMMANDS, Entry, main

#: ``vgg-mm`` of this checkout, whether it is installed or not.
VGG_MM = [sys.executable, '-m', 'vgg_mm_cli']


def vgg_mm(*arguments, cwd):
    """Run ``vgg-mm ARGUMENTS`` in a process with all modules imported."""
    return preloaded.run([str(ROOT / 'vgg_mm_cli/__main__.py'), *map(str, arguments)], cwd)


def test_every_script_is_a_command():
    scripts = {path.name for path in (ROOT / 'tools').glob('[a-z]*.py')}
    assert {entry.script for entry in COMMANDS.values()} == scripts


def test_messages_name_existing_commands():
    assert {f'tools/{entry.script}': name for name, entry in COMMANDS.items()} == {
        command(name): name for name in COMMANDS
    }
    named = set()
    for path in (ROOT / 'vgg_mm').rglob('*.py'):
        text = path.read_text(encoding='utf-8')
        named.update(re.findall(r'\bcommand(?:_line)?\(["\']([\w-]+)["\']', text))
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and not (re.search(r'``|\n', node.value) or path.name == 'installation.py')
            ):
                assert not re.search(r'\btools/\w+\.py', node.value), f'{path}: {node.value}'
    assert {'test', 'chain', 'features', 'build-mmcv-ops'} <= named <= COMMANDS.keys()


def test_messages_name_existing_arguments():
    parser = argparse.ArgumentParser(conflict_handler='resolve')
    for entry in COMMANDS.values():
        entry.load().add_options(parser)
    named = set()
    for path in (ROOT / 'vgg_mm').rglob('*.py'):
        text = path.read_text(encoding='utf-8')
        named.update(re.findall(r'\bargument\(["\'](\w+)["\']', text))
        for node in ast.walk(ast.parse(text)) if 'apis' in path.parts else ():
            if isinstance(node, ast.Constant) and '``' not in str(node.value):
                # Options are separate words of a command, or follow a command.
                by_hand = re.search(r'(?<!^ )--[a-zA-Z][\w-]* ', f'{node.value} ')
                alone = re.fullmatch(r'--[\w-]+=?', str(node.value))
                assert alone or not by_hand, f'{path}: {node.value}'
    assert {'cfg_options', 'in_channels', 'shown_class'} <= named
    assert named <= {action.dest for action in parser._actions if action.option_strings}


@pytest.mark.parametrize(
    'words, function, arguments, typed, in_python',
    [
        (
            'chain vgg16_digits --from B', 'vgg_mm.apis.train_chain',
            dict(chain='vgg16_digits', first='B'),
            '--from B: no such stage', "first='B': no such stage",
        ),
        (
            'ensemble D.npz:dense --protocol dense', 'vgg_mm.apis.ensemble.report',
            dict(files=['D.npz:dense'], protocol='dense'),
            '--protocol dense has no effect', "protocol='dense' has no effect",
        ),
        (
            'table folder --data-root data', 'vgg_mm.apis.paper_table.paper_table',
            dict(folders=['folder'], data_root='data'),
            '--data-root data has no effect without --run',
            "data_root='data' has no effect without run=True",
        ),
        (
            'check folder --crop-size 0', 'vgg_mm.apis.check_dataset.check_dataset',
            dict(folder='folder', crop_size=0),
            '--crop-size must be positive, got 0', 'crop_size must be positive, got 0',
        ),
        (
            'train vgg11_jitter_digits --cfg-options a', 'vgg_mm.apis.train',
            dict(config='vgg11_jitter_digits', cfg_options=['a']),
            "--cfg-options expects key=value, got 'a'", "cfg_options expects key=value, got 'a'",
        ),
    ],
)  # fmt: skip
def test_messages_name_arguments_as_they_were_given(
    words, function, arguments, typed, in_python, capsys, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(words.split())
    assert capsys.readouterr().err.startswith(f'error: {typed}')
    with pytest.raises(ValueError) as error:
        pkgutil.resolve_name(function)(**arguments)
    assert str(error.value).startswith(in_python)


def test_arguments_in_messages():
    flags = dict(dynamic=True, out='a b', scales=[256, 384], size=None)
    assert [argument(*one) for one in flags.items()] == [
        'dynamic=True', "out='a b'", 'scales=[256, 384]', 'size',
    ]  # fmt: skip
    with arguments_as_options({name: f'--{name}' for name in flags}):
        assert [argument(*one) for one in flags.items()] == [
            '--dynamic', '--out a b', '--scales 256 384', '--size',
        ]  # fmt: skip
        assert argument('top', 5) == 'top=5'


@pytest.mark.parametrize('name', COMMANDS)
def test_help_equals_the_scripts(name, tmp_path):
    def shown(done, prog):
        assert done.returncode == 0 and done.stdout.startswith(f'usage: {prog} ')
        return done.stdout.partition('\n\n')[2]

    script = COMMANDS[name].script
    expected = shown(run_tool(script, '--help', cwd=tmp_path), f'tools/{script}')
    assert shown(vgg_mm(name, '--help', cwd=tmp_path), f'vgg-mm {name}') == expected


@pytest.mark.parametrize('arguments', [[], ['--help'], ['--version'], ['predict', '--help']])
def test_help_imports_nothing_heavy(arguments):
    command = [sys.executable, '-X', 'importtime', '-m', 'vgg_mm_cli', *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    imported = {line.rpartition('|')[2].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0 and done.stdout and 'argparse' in imported
    assert not imported & {'torch', 'numpy', 'mmengine', 'mmpretrain', 'vgg_mm'}


def test_help_lists_the_commands(tmp_path):
    listed = vgg_mm('--help', cwd=tmp_path).stdout
    for name, entry in COMMANDS.items():
        assert re.search(rf'^  {name} +{re.escape(entry.summary)}$', listed, re.MULTILINE)
    assert vgg_mm(cwd=tmp_path).stdout == listed


@pytest.mark.parametrize(
    'word, hint',
    [
        ('predcit', "did you mean 'predict'?"),
        ('extract_features', "did you mean 'features'?"),
        ('train_chain.py', "did you mean 'chain'?"),
        ('classify', "did you mean 'predict'?"),
        ('evaluate', "did you mean 'test'?"),
        ('xyz', f'available: {", ".join(COMMANDS)}'),
    ],
)
def test_unknown_commands(word, hint, tmp_path):
    done = vgg_mm(word, '--top', '5', cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, '')
    assert done.stderr == f'vgg-mm: error: unknown command {word!r}; {hint}\n'


def test_results_messages_and_statuses_equal_the_scripts(photo, tmp_path):
    import cv2

    cv2.imwrite(str(tmp_path / 'photo.jpg'), photo)
    write_checkpoint(tmp_path / 'net.pth', 'configs/vgg/vgg16_jitter_imagenet.py')
    for line, status in {
        'predict photo.jpg net.pth --scales 256 --out OUT.json': 0,
        'predict photo.jpg none.pth': 1,
        'predict none.jpg net.pth': 1,
        'predict photo.jpg net.pth --scales big': 2,
        'features net.pth . --layer fc9 --out OUT.npz': 1,
        'nets --net D --markdown': 0,
        'nets --net Z': 1,
        'train none.py': 1,
    }.items():
        name, *arguments = shlex.split(line)
        script = COMMANDS[name].script
        found, expected = [], []
        for out, done in (
            (found, vgg_mm(name, *(a.replace('OUT', 'found') for a in arguments), cwd=tmp_path)),
            (expected, run_tool(script, *(a.replace('OUT', 'expected') for a in arguments),
                                cwd=tmp_path, check=False)),
        ):  # fmt: skip
            shown = done.stderr[done.stderr.rfind('error: ') :] if status else done.stdout
            out += [done.returncode, shown.replace('expected.', 'found.')]
            assert shown
        assert found[0] == status and found == expected, line
    assert (tmp_path / 'found.json').read_text() == (tmp_path / 'expected.json').read_text()


@pytest.fixture
def hello(tmp_path, monkeypatch):
    """A user's own command: a module and an entry."""
    (tmp_path / 'hello_command.py').write_text(
        'from vgg_mm_cli.command import Command\n'
        'def add_options(parser):\n    parser.add_argument("--name", choices=["VGG"])\n'
        'def run(args):\n    print(f"hello {args.name}")\n'
        'COMMAND = Command("Say hello.", add_options, run)\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(COMMANDS, 'hello', Entry('hello_command', 'says hello'))


def test_a_command_is_added_by_one_entry(hello, capsys):
    main(['hello', '--name', 'VGG'])
    assert capsys.readouterr().out == 'hello VGG\n'
    main([])
    assert re.search('^  hello +says hello$', capsys.readouterr().out, re.MULTILINE)
    with pytest.raises(SystemExit):
        main(['helo'])
    assert capsys.readouterr().err.endswith("; did you mean 'hello'?\n")


@pytest.mark.parametrize(
    'typed, offered',
    [
        ('vgg-mm pre', {'predict', 'prepare'}),
        ('vgg-mm predict --prot', {'--protocol'}),
        ('vgg-mm train config.py --launcher ', {'none', 'pytorch', 'slurm', 'mpi'}),
        ('vgg-mm predict pho', {'photo.jpg', 'photos'}),
        ('vgg-mm export net.pth net.onnx --config con', {'config.py'}),
    ],
)
def test_completion(typed, offered, tmp_path):
    """Completions offered by bash."""
    pytest.importorskip('shtab')
    for name in ('photo.jpg', 'config.py'):
        (tmp_path / name).touch()
    (tmp_path / 'photos').mkdir()
    words = typed.split(' ')
    script = (
        f'eval "$(cd {shlex.quote(str(ROOT))} && {shlex.join(VGG_MM)} --print-completion bash)"\n'
        f'COMP_WORDS=({" ".join(map(repr, words))}); COMP_CWORD={len(words) - 1}\n'
        'function=$(complete -p vgg-mm | sed "s/.* -F \\([^ ]*\\) .*/\\1/")\n'
        f'"$function" vgg-mm {words[-1]!r} {words[-2]!r}; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(['bash', '-c', script], cwd=tmp_path, capture_output=True, text=True)
    assert {word.strip() for word in done.stdout.split('\n')} - {''} == offered, done.stderr


def test_completion_without_its_library(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'shtab', None)
    with pytest.raises(SystemExit) as caught:
        main(['--print-completion', 'bash'])
    assert caught.value.code.endswith("pip install 'vgg_mm[completion]'")
