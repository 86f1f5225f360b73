"""Training and testing called from Python, as in a notebook: arguments and returned values."""

import json

import pytest
from mmengine.config import Config

from tests.conftest import A_DIGITS
from vgg_mm.apis import test as run_test
from vgg_mm.apis import train
from vgg_mm.apis.chain import load_chain
from vgg_mm.apis.config import load_config, shipped
from vgg_mm.apis.ensemble import load_recipe
from vgg_mm.apis.testing import test_config as make_test_config
from vgg_mm.apis.training import training_config
from vgg_mm.evaluation import load_posteriors, read_records


@pytest.fixture(scope='module')
def options(few_digits):
    return {
        'DATA_ROOT': str(few_digits),
        'train_cfg.max_epochs': 1,
        'train_dataloader.batch_size': 24,
        'train_dataloader.num_workers': 0,
        'val_dataloader.num_workers': 0,
        'test_dataloader.num_workers': 0,
    }


@pytest.fixture(scope='module')
def trained(options, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('notebook')
    return train(A_DIGITS, work_dir=str(work_dir), cfg_options=options)


def test_train_returns_the_last_checkpoint(trained, options, tmp_path, monkeypatch):
    assert trained.endswith('epoch_1.pth')
    # A Config object, which is not changed, in place of a file.
    cfg = Config.fromfile(A_DIGITS)
    text = cfg.pretty_text
    monkeypatch.chdir(tmp_path)
    checkpoint = train(cfg, cfg_options=options, validate=False, kernels='plain')
    assert cfg.pretty_text == text
    assert checkpoint == str(tmp_path / 'work_dirs' / 'vgg11_jitter_digits' / 'epoch_1.pth')


def test_test_returns_the_metrics(trained, options, tmp_path):
    out = str(tmp_path / 'all.npz')
    found = run_test(
        A_DIGITS, trained, out=out, work_dir=str(tmp_path), cfg_options=options, tta='dense'
    )
    assert 0 <= found['error/top5'] <= found['error/top1'] <= 100
    (record,) = read_records(tmp_path / 'test_results.jsonl')
    assert record.error(1) == pytest.approx(found['error/top1'])
    assert load_posteriors(out).scores['dense'].shape == (40, 10)
    metrics = str(tmp_path / 'metrics.json')
    again = run_test(
        Config.fromfile(A_DIGITS), trained, out=metrics, out_item='metrics',
        work_dir=str(tmp_path), cfg_options=options,
    )  # fmt: skip
    assert json.loads((tmp_path / 'metrics.json').read_text()) == again
    assert [one.protocol for one in read_records(tmp_path / 'test_results.jsonl')] == [
        'dense',
        'centre crop',
    ]


@pytest.mark.parametrize(
    'name, arch, width',
    [('vgg16_jitter_imagenet', 'D', None), ('vgg11_jitter_digits', 'A', 16),
     ('vgg16_8xb32_in1k', 16, None), ('vgg16_pcr_animals', 'D', None)],
)  # fmt: skip
def test_names_of_configs(name, arch, width, tmp_path, monkeypatch):
    """Configs of the package, from any folder, and MMPretrain's models."""
    monkeypatch.chdir(tmp_path)
    cfg = load_config(name)
    found = cfg.model.backbone
    assert found.get('arch', found.get('depth')) == arch and found.get('base_channels') == width
    assert cfg.work_dir == f'work_dirs/{name}' and cfg.filename.endswith(f'{name}.py')


def test_names_of_chains_recipes_and_protocols(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [stage.name for stage in load_chain('vgg16_digits')][-1] == 'vgg16_jitter_digits'
    assert len(load_recipe('table6_d_e').members) > 1
    assert 'multi_crop' in shipped('protocol')
    with pytest.raises(
        FileNotFoundError, match="chain not found: vgg16_digit; did you mean 'vgg16"
    ):
        load_chain('vgg16_digit')
    # A path from the checkout is not found here; the message suggests the name.
    with pytest.raises(FileNotFoundError, match="did you mean 'vgg16_jitter_imagenet'"):
        load_config('configs/vgg/vgg16_jitter_imagenet.py')


def test_resume(trained, options):
    work_dir = trained.removesuffix('/epoch_1.pth')
    more = {**options, 'train_cfg.max_epochs': 2}
    assert train(A_DIGITS, work_dir=work_dir, cfg_options=more, resume=True).endswith('epoch_2.pth')
    by_path = training_config(A_DIGITS, work_dir, more, resume=trained)
    assert by_path.resume and by_path.load_from == trained


@pytest.mark.parametrize(
    'make, message',
    [
        (lambda **options: training_config('no.py', **options), 'config not found: no.py'),
        (lambda **options: training_config(A_DIGITS, broken_images='count', **options),
         r"broken_images must be one of \('stop', 'skip'\), got 'count'"),
        (lambda **options: make_test_config(A_DIGITS, 'x.pth', broken_images='skip', **options),
         r"broken_images must be one of \('stop', 'count'\), got 'skip'"),
        (lambda **options: make_test_config(A_DIGITS, 'x.pth', tta='dnse', **options),
         "protocol 'dnse': no such file, nor one of all, dense"),
        (lambda **options: run_test(A_DIGITS, 'no.pth', **options), 'checkpoint not found: no.pth'),
        (lambda **options: run_test(A_DIGITS, 'x.pth', out='x.npz', out_item='all', **options),
         "out_item must be 'pred' or 'metrics', got 'all'"),
        (lambda **options: run_test(A_DIGITS, 'x.pth', out_item='metrics', **options),
         "out_item='metrics' needs out='FILE'"),
        (lambda **options: train(A_DIGITS, kernels='fast', **options),
         "kernels must be 'auto' or 'plain', got 'fast'"),
    ],
)  # fmt: skip
def test_errors_are_one_line(make, message, options, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        make(work_dir=str(tmp_path), cfg_options=options)
    assert '\n' not in str(error.value)
