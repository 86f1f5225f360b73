"""A file of a narrow VGG-16 of each library, with the library's logits for a photo."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from tests.checkpoints import source_nets as sources
from tests.checkpoints.test_layout_errors import keras_arrays, write_keras
from vgg_mm.checkpoints import Preprocessing, load_checkpoint
from vgg_mm.checkpoints.preprocessing import CENTRED_BGR, STANDARDISED_RGB

LIBRARIES = ('torchvision', 'timm', 'MMPretrain', 'Keras', 'Caffe', 'own')

#: Libraries whose files are not PyTorch's.
NOT_PYTORCH = ('Keras', 'Caffe')


class WeightFile(NamedTuple):
    path: str
    logits: Callable[[np.ndarray], torch.Tensor]  # of a photo, uint8 (224, 224, 3) RGB
    preprocessing: Preprocessing

    def inputs(self, rgb: np.ndarray) -> torch.Tensor:
        """The pre-processed photo, (1, 3, 224, 224)."""
        image = rgb if self.preprocessing.to_rgb else rgb[..., ::-1]
        mean, std = (np.array(one) for one in self.preprocessing[1:3])
        scaled = ((image - mean) / std).astype(np.float32)
        return torch.from_numpy(scaled.transpose(2, 0, 1).copy())[None]


def write_files(folder):
    """{library: WeightFile}."""
    files = {}
    makers = dict(torchvision=sources.torchvision_net, timm=sources.timm_net)
    makers['MMPretrain'] = sources.mmpretrain_net
    for library, make in makers.items():
        net, logits = make('vgg16')
        path = folder / f'{library}.pth'
        state = net.state_dict()
        torch.save(dict(state_dict=state) if library == 'MMPretrain' else state, path)
        files[library] = WeightFile(str(path), logits, STANDARDISED_RGB)
    arrays = sources.caffe_weights('vgg16')
    (folder / 'net.caffemodel').write_bytes(sources.caffe_file(arrays))
    fc6, bias = arrays['fc6']
    rows = fc6.reshape(len(fc6), -1, sources.NARROW.side, sources.NARROW.side)
    rows = rows.transpose(0, 2, 3, 1).reshape(fc6.shape)  # Keras takes the map as H-W-C
    write_keras(folder / 'net.h5', keras_arrays({**arrays, 'fc6': [rows, bias]}))
    logits = sources.caffe_logits(arrays)
    files['Caffe'] = WeightFile(str(folder / 'net.caffemodel'), logits, CENTRED_BGR)
    files['Keras'] = WeightFile(str(folder / 'net.h5'), logits, CENTRED_BGR)
    own = load_checkpoint(files['torchvision'].path)
    torch.save(dict(state_dict=own['state_dict'], meta=dict(epoch=1)), folder / 'own.pth')
    files['own'] = files['torchvision']._replace(path=str(folder / 'own.pth'))
    return files


def table(title, rows, columns, cells):
    """Lines of a table, for the output of tests."""
    width = max(map(len, rows))
    lines = [title, ' ' * width + ' | ' + ' | '.join(columns)]
    for row in rows:
        found = [cells.get((row, column), '').ljust(len(column)) for column in columns]
        lines.append(row.ljust(width) + ' | ' + ' | '.join(found))
    return '\n'.join(lines)
