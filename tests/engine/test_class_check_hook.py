"""The labels of validation and test sets are those of the net, whichever class folders exist."""

import logging
from types import SimpleNamespace

import pytest
import torch.nn as nn
from mmpretrain.datasets import CustomDataset
from torch.utils.data import DataLoader

from vgg_mm.engine.hooks import ClassCheckHook


def loader(folder, names):
    """A data set with one empty file per class folder; the files are not read."""
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / 'x.png').touch()
    return DataLoader(CustomDataset(data_root=str(folder), pipeline=[]))


def runner(**loaders):
    model = nn.Module()
    model.head = nn.Module()
    loops = {
        f'{which}_loop': SimpleNamespace(dataloader=one, evaluator=SimpleNamespace())
        for which, one in loaders.items()
    }
    loaders = {f'{which}_dataloader': one for which, one in loaders.items()}
    logger = logging.getLogger('test_class_check')
    return SimpleNamespace(model=model, logger=logger, **loops, **loaders)


def labels(runner, which):
    dataset = getattr(runner, f'{which}_dataloader').dataset
    found = {i: dataset[i] for i in range(len(dataset))}
    return {one['img_path'].split('/')[-2]: int(one['gt_label']) for one in found.values()}


def test_a_validation_folder_that_lacks_a_class(tmp_path, caplog):
    run = runner(train=loader(tmp_path / 't', 'abc'), val=loader(tmp_path / 'v', 'ac'))
    ClassCheckHook().before_train(run)
    assert labels(run, 'val') == dict(a=0, c=2)
    assert run.val_loop.evaluator.dataset_meta['classes'] == ('a', 'b', 'c')
    assert "of the training set by name: 1 class(es) missing, e.g. 'b'" in caplog.text
    run = runner(train=loader(tmp_path / 'x', 'ab'), val=loader(tmp_path / 'y', 'ac'))
    with pytest.raises(ValueError, match="are not the 2 of the training set .*: 'c' is none"):
        ClassCheckHook().before_train(run)


def test_folders_named_by_numbers(tmp_path, caplog):
    """The text order of the labels is reported; if the net's order is another one, it is used."""
    names = [str(number) for number in range(11)]
    run = runner(train=loader(tmp_path / 't', names), val=loader(tmp_path / 'v', names))
    ClassCheckHook().before_train(run)
    assert "'10' has label 2" in caplog.text and labels(run, 'train')['10'] == 2
    run = runner(test=loader(tmp_path / 'x', names))
    hook = ClassCheckHook()
    hook.after_load_checkpoint(run, dict(meta=dict(dataset_meta=dict(classes=names))))
    hook.before_test(run)
    assert labels(run, 'test') == {name: int(name) for name in names}


def test_a_nets_names_and_folders_named_by_its_numbers(tmp_path, caplog):
    run = runner(test=loader(tmp_path / 'x', ['2', '10']))
    hook = ClassCheckHook()
    hook.after_load_checkpoint(run, dict(meta=dict(dataset_meta=dict(classes=list('abcdefghijk')))))
    hook.before_test(run)
    assert labels(run, 'test') == {'2': 2, '10': 10}
    assert "by their numbers: '10' is 'k'" in caplog.text


def test_heads_in_a_list(tmp_path):
    """As in Cascade R-CNN."""
    run = runner(train=loader(tmp_path / 't', 'abc'), val=loader(tmp_path / 'v', 'abc'))
    run.model.roi_head = nn.Module()
    run.model.roi_head.bbox_head = nn.ModuleList([nn.Module(), nn.Module()])
    run.model.roi_head.bbox_head[1].num_classes = 80
    with pytest.raises(ValueError, match=r'model.roi_head.bbox_head.1.num_classes=3'):
        ClassCheckHook().before_train(run)
