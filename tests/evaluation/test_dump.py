"""Predictions and posteriors on disk, in the data set's order."""

import pickle

import pytest
import torch
from mmpretrain.structures import DataSample

from vgg_mm.evaluation import DumpPosteriors, DumpPredictions, load_posteriors


def sample(number, score, **fields):
    found = DataSample(metainfo=dict(sample_idx=number, **fields)).set_gt_label(0)
    return found.set_pred_score(torch.tensor([score, 1 - score]))


def predictions(samples, path):
    metric = DumpPredictions(str(path))
    metric.process(None, [one.to_dict() for one in samples])
    metric.evaluate(len(samples))
    return [round(one['pred_score'][0].item(), 2) for one in pickle.loads(path.read_bytes())]


def posteriors(samples, path):
    metric = DumpPosteriors(str(path), dict(dense='dense'), dict(data='photos'))
    metric.dataset_meta = dict(classes=['a', 'b'])
    metric.process(None, [one.to_dict() for one in samples])
    metric.evaluate(len(samples))
    return load_posteriors(path)


def test_images_in_another_order(tmp_path):
    samples = [sample(i, i / 10, img_path=f'photos/{i}.png') for i in (2, 0, 1)]
    assert predictions(samples, tmp_path / 'p.pkl') == [0, 0.1, 0.2]
    assert posteriors(samples, tmp_path / 'p.npz').names == ['0.png', '1.png', '2.png']


def test_each_part_of_a_concatenation_numbers_its_images(tmp_path):
    samples = [sample(i, (3 * part + i) / 10) for part in (0, 1) for i in range(3)]
    assert predictions(samples, tmp_path / 'p.pkl') == [0, 0.1, 0.2, 0.3, 0.4, 0.5]


def test_images_in_memory_have_no_path(tmp_path):
    assert posteriors([sample(1, 0.1), sample(0, 0)], tmp_path / 'p.npz').names == ['0', '1']


def test_no_labels_is_one_clear_line(tmp_path):
    one = sample(0, 0.5)
    del one.gt_label
    with pytest.raises(ValueError, match='p.npz: the test images have no labels'):
        posteriors([one], tmp_path / 'p.npz')


def test_images_tested_twice_are_named_apart(tmp_path):
    samples = [sample(i % 2, i / 10, img_path=f'photos/{i % 2}.png') for i in range(4)]
    found = posteriors(samples, tmp_path / 'p.npz')
    assert found.names == ['0.png', '1.png', '0.png (2)', '1.png (2)']
    assert found.scores['dense'][:, 0].round(2).tolist() == pytest.approx([0, 0.1, 0.2, 0.3])
