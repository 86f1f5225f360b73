"""Segmentors of MMSegmentation and SSD of MMDetection, which are exported too, and their graphs."""

from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from vgg_mm.architectures import STRIDE
from vgg_mm.checkpoints import recorded_classes
from vgg_mm.models import VGG

from ..downstream import check_package
from ..inference.load import load_weights
from ..tables import say
from .graph import Graph, Net, known_preprocessing

#: Side of a segmentor's images unless another is given, in pixels.
SEGMENTORS_SIZE = 512

NO_TWO_STAGES = (
    "is a two-stage detector: torch's exporter does not support mmcv's RoIAlign and nms; MMDeploy, "
    'which provides these operators, exports such detectors; vgg_mm exports SSD and segmentors'
)


class SegmentorGraph(Graph):
    def __init__(self, net: Net, output: str, preprocessing: bool):
        super().__init__(net, output, preprocessing)
        self.model = net.model

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        size = (image.shape[2], image.shape[3])
        scores = self.model.encode_decode(self.normalised(image), [dict(img_shape=size)])
        return _posterior(scores) if self.output == 'posterior' else scores


def _posterior(scores: torch.Tensor) -> torch.Tensor:
    """(N, classes, H, W); of a single score that of the second of two classes, (N, 1, H, W)."""
    return scores.softmax(1) if scores.shape[1] > 1 else scores.sigmoid()


class SSDGraph(Graph):
    priors: torch.Tensor  # (boxes, 4), in the order of the outputs

    def __init__(self, net: Net, output: str, preprocessing: bool):
        super().__init__(net, output, preprocessing)
        self.model = net.model
        image = torch.zeros(1, net.in_channels, net.crop, net.crop)
        with torch.inference_mode():
            sizes = [feature.shape[-2:] for feature in net.model.extract_feat(image)]
        priors = net.model.bbox_head.prior_generator.grid_priors(sizes, device='cpu')
        self.register_buffer('priors', torch.cat(priors))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        head = self.model.bbox_head
        scores, deltas = head(self.model.extract_feat(self.normalised(image)))
        count, width = image.shape[0], head.cls_out_channels
        scores = torch.cat([s.permute(0, 2, 3, 1).reshape(count, -1, width) for s in scores], 1)
        deltas = torch.cat([d.permute(0, 2, 3, 1).reshape(count, -1, 4) for d in deltas], 1)
        boxes = _decoded(self.priors, deltas, head.bbox_coder, image.shape[2:])
        return torch.cat([boxes, scores.softmax(-1)[..., :-1]], -1)


def _decoded(
    priors: torch.Tensor, deltas: torch.Tensor, coder: Any, size: torch.Size
) -> torch.Tensor:
    """The boxes that deltas, (N, boxes, 4), make of the priors: mmdet's, of plain operations.

    mmdet's own takes another path in an export.
    """
    deltas = deltas * deltas.new_tensor(coder.stds) + deltas.new_tensor(coder.means)
    sides = priors[:, 2:] - priors[:, :2]
    centres = (priors[:, :2] + priors[:, 2:]) / 2 + sides * deltas[..., :2]
    limit = abs(torch.log(torch.tensor(16 / 1000))).item()
    halves = sides * deltas[..., 2:].clamp(-limit, limit).exp() / 2
    boxes = torch.cat([centres - halves, centres + halves], -1)
    if not coder.clip_border:
        return boxes
    return boxes.clamp(min=0).minimum(boxes.new_tensor([size[1], size[0]] * 2))


class Segmentor(Net):
    graph_type = SegmentorGraph
    outputs = {
        'scores': '(N, classes, H, W), before the soft-max',
        'posterior': '(N, classes, H, W), the soft-max of the scores; with one score for two '
        'classes (out_channels=1) its sigmoid, (N, 1, H, W)',
    }
    multiple = STRIDE

    @torch.inference_mode()
    def compute(self, inputs: torch.Tensor, output: str) -> torch.Tensor:
        """As MMSegmentation runs it."""
        found = torch.stack([found.seg_logits.data for found in self.model.predict(inputs)])
        if found.shape[1] > 1:
            return _posterior(found) if output == 'posterior' else found
        if output == 'posterior':
            return found  # MMSegmentation has taken the sigmoid of a single score
        size = tuple(inputs.shape[2:])
        meta = dict(ori_shape=size, img_shape=size, pad_shape=size, padding_size=[0] * 4)
        return self.model.inference(inputs, [meta] * len(inputs))


class SSD(Net):
    graph_type = SSDGraph
    outputs = {
        'boxes': '(N, boxes, 4 + classes), before nms: x1, y1, x2, y2 in pixels of the input, then '
        'the soft-max of the classes, the background left out',
    }
    multiple = STRIDE
    fixed = True

    @torch.inference_mode()
    def compute(self, inputs: torch.Tensor, output: str) -> torch.Tensor:
        return SSDGraph(self, output, False)(inputs)


def load_object_net(checkpoint: str, content: dict, cfg: Config, graph: bool = True) -> Net:
    """Build a segmentor or SSD with its weights, without running code from the checkpoint.

    Args:
        checkpoint: Its name.
        content: Its content.
        cfg: Its config.
        graph: Whether a graph is to be exported, not weights alone.

    Raises:
        ValueError, ImportError: in one line, if a package is missing or the net cannot be exported.
    """
    check_package(cfg, checkpoint)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model).eval().requires_grad_(False)
    notice = load_weights(model, content, checkpoint)
    if notice:
        say(f'notice: {notice}')
    preprocessing = known_preprocessing(model, checkpoint)
    classes = tuple(map(str, recorded_classes(content) or ()))
    kind: type[Net] = Segmentor
    side = SEGMENTORS_SIZE
    if cfg.default_scope == 'mmdet':
        from mmdet.models.dense_heads import SSDHead

        head = getattr(model, 'bbox_head', None)
        if isinstance(head, SSDHead):
            kind, side = SSD, head.prior_generator.input_size
        elif graph:
            raise ValueError(f'{checkpoint} ({type(model).__name__}) {NO_TWO_STAGES}')
    if not isinstance(model.backbone, VGG):
        raise ValueError(
            f'{checkpoint}: only nets with a vgg_mm.VGG are exported, not with '
            f'{type(model.backbone).__name__}'
        )
    return kind(model, classes, preprocessing, side)
