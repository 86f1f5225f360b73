"""Nets and files of features for tests."""

from dataclasses import asdict

import numpy as np
import torch
from mmengine.config import Config

from tests.conftest import A_DIGITS, D_DIGITS
from vgg_mm.apis.features.files import Photos, write
from vgg_mm.apis.features.parts import Part, Settings
from vgg_mm.apis.inference.load import build_model

CONFIGS = {'A': A_DIGITS, 'D': D_DIGITS}
WIDTH, FC6, FC7 = 4, 24, 16


def save_net(path, arch='A', seed=0, **meta):
    """A narrow net for crops of 64 with random weights; returns the model."""
    torch.manual_seed(seed)
    cfg = Config.fromfile(CONFIGS[arch])
    cfg.model.backbone.base_channels = WIDTH
    cfg.model.head.update(in_channels=8 * WIDTH, fc_channels=(FC6, FC7))
    cfg.tta_model.flip = True
    model = build_model(cfg)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=(2 / max(1, parameter[0].numel())) ** 0.5)
    meta = dict(meta, cfg=cfg.pretty_text, dataset_meta=dict(classes=tuple('0123456789')))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return model


def write_features(path, values, labels, classes, errors=(), folder='/photos', **settings):
    """A file as the extraction writes it; images are CLASS/NUMBER.jpg below ``folder``."""
    values = np.asarray(values, np.float32)
    values = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    errors = list(errors) or [''] * len(values)
    values[[bool(error) for error in errors]] = np.nan
    names = [
        f'{classes[label]}/{i}.jpg' if label >= 0 else f'{i}.jpg' for i, label in enumerate(labels)
    ]
    photos = Photos(str(folder), names, np.asarray(labels, np.int64), list(classes), '')
    made = dict(
        layer='fc7', dimension=values.shape[1], scales=(64,), combine='average', flip=True,
        net='A', width=4, preprocessing='RGB', weights='w', images='i', count=len(values),
    )  # fmt: skip
    info = dict(asdict(Settings(**{**made, **settings})), folder=str(folder))
    write(str(path), path.suffix, [Part(values, errors)], photos, info)
    return path
