_base_ = [
    '../../_base_/downstream/detection/models/faster_rcnn.py',
    '../../_base_/downstream/detection/datasets/voc0712.py',
    '../../_base_/downstream/detection/schedules/faster_rcnn.py',
    '../../_base_/downstream/detection/runtime.py',
]

# Boxes of areas 128^2, 256^2 and 512^2 (the paper's Section 3.3).
model = dict(
    rpn_head=dict(anchor_generator=dict(scales=[8, 16, 32])),
    roi_head=dict(bbox_head=dict(num_classes=20)),
)

# One image an iteration, 80k iterations at 1e-3 and 30k at 1e-4, as the well-known port of the
# authors' release trains on both years, here in epochs of their 16,551 images.
optim_wrapper = dict(optimizer=dict(lr=0.001))
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], milestones=[5]),
]
train_cfg = dict(max_epochs=7)
auto_scale_lr = dict(base_batch_size=1)

# The published recipe starts from a whole classifier; convolutions alone are refused.
default_hooks = dict(classifier_init=dict(require_fc=True))
