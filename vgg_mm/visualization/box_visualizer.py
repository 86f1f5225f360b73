"""Photos with true and predicted boxes (``tools/test.py --show-dir``)."""

from typing import Any

import mmcv
import numpy as np
from mmengine.dist import master_only
from mmpretrain.structures import DataSample
from mmpretrain.visualization import UniversalVisualizer

from vgg_mm.datasets.transforms.rescale import BOXES
from vgg_mm.registry import VISUALIZERS

TRUE, PREDICTED = 'lime', ('red', 'orange', 'yellow', 'cyan', 'magenta')

#: Crops of fewer pixels are enlarged to this shorter side, so that text fits.
SHORTER_SIDE = 320


@VISUALIZERS.register_module()
class BoxVisualizer(UniversalVisualizer):
    """MMPretrain's visualizer, with boxes: true ones solid green, predicted ones dashed.

    Predicted are the guesses of the full localisation test, each with class and posterior, best in
    red; of a central crop, the box of the true class.

    Args:
        max_boxes: Maximum number of predicted boxes in a picture, up to five.
        name, kwargs: As in ``UniversalVisualizer``.

    Raises:
        ValueError: if ``max_boxes`` is not 1 to 5.
    """

    def __init__(self, name: str = 'visualizer', max_boxes: int = 2, **kwargs: Any):
        if max_boxes not in range(1, len(PREDICTED) + 1):
            raise ValueError(
                f'BoxVisualizer: max_boxes must be 1 to {len(PREDICTED)}, got {max_boxes!r}'
            )
        super().__init__(name, **kwargs)
        self.max_boxes = max_boxes

    @master_only
    def visualize_cls(
        self, image: np.ndarray, data_sample: DataSample, *args: Any, **kwargs: Any
    ) -> np.ndarray:
        """As in ``UniversalVisualizer``, boxes first.

        Args:
            image: uint8 (H, W, 3) BGR, as the pipelines here load it; (H, W, 1), or (H, W, 4) with
                opacity, which is not drawn.
            data_sample: Its boxes are in an image of ``img_shape``: the crop, or the whole photo.
        """
        image = image[..., 2::-1] if image.shape[2] >= 3 else np.repeat(image, 3, axis=2)
        height, width = image.shape[:2]
        factor = max(1.0, SHORTER_SIDE / min(height, width))
        image = mmcv.imresize(image, (round(width * factor), round(height * factor)))
        self.set_image(image)
        frame = data_sample.get('img_shape', (height, width))
        scale = np.array([image.shape[1] / frame[1], image.shape[0] / frame[0]] * 2)
        if BOXES in data_sample:
            self._draw(np.asarray(data_sample.get(BOXES)) * scale, '', TRUE, '-')
        for (box, text), color in zip(self._predicted(data_sample), PREDICTED):
            self._draw(box[None] * scale, text, color, '--')
        return super().visualize_cls(self.get_image(), data_sample, *args, **kwargs)

    def _predicted(self, sample: DataSample) -> list[tuple[np.ndarray, str]]:
        """(box, text) of each predicted box to draw."""
        classes = (self.dataset_meta or {}).get('classes')
        if 'pred_instances' in sample:
            found = sample.pred_instances[: self.max_boxes].cpu()
            names = [classes[i] if classes else f'class {i}' for i in found.labels.tolist()]
            texts = [f'{name} {score:.2f}' for name, score in zip(names, found.scores.tolist())]
            return list(zip(found.bboxes.numpy(), texts))
        if 'pred_bboxes' in sample:
            boxes = sample.pred_bboxes.cpu().numpy()
            label = int(sample.gt_label) if 'gt_label' in sample else 0
            return [(boxes[label if len(boxes) > 1 else 0], '')]
        return []

    def _draw(self, boxes: np.ndarray, text: str, color: str, line: str) -> None:
        height, width = self.get_image().shape[:2]
        boxes = boxes.clip(0, [width - 1, height - 1] * 2)
        self.draw_bboxes(boxes, edge_colors=color, line_styles=line, line_widths=3)
        if text:
            self.draw_texts(
                text,
                boxes[0, [0, 3]],
                font_sizes=11,
                colors='black',
                vertical_alignments='bottom',
                bboxes=dict(facecolor=color, alpha=0.8, edgecolor='none', pad=1),
            )
