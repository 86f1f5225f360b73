_base_ = [
    '../../_base_/downstream/detection/models/faster_rcnn.py',
    '../../_base_/downstream/detection/datasets/voc0712.py',
    '../../_base_/downstream/detection/schedules/faster_rcnn.py',
    '../../_base_/downstream/detection/runtime.py',
]

# Anchors of areas 128^2, 256^2 and 512^2 (Section 3.3 of the paper).
model = dict(
    rpn_head=dict(anchor_generator=dict(scales=[8, 16, 32])),
    roi_head=dict(bbox_head=dict(num_classes=20)),
)

# A batch size of 1, 80k iterations at a learning rate of 1e-3 and 30k at 1e-4, as in the well-known
# port of the authors' release for both years; here converted to epochs of their 16,551 images.
optim_wrapper = dict(optimizer=dict(lr=0.001))
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], milestones=[5]),
]
train_cfg = dict(max_epochs=7)
auto_scale_lr = dict(base_batch_size=1)

# The published recipe starts from a whole classifier; weights without fc6 and fc7 are rejected.
default_hooks = dict(classifier_init=dict(require_fc=True))
