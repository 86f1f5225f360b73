_base_ = [
    '../../_base_/downstream/detection/models/ssd300.py',
    '../../_base_/downstream/detection/datasets/voc0712_ssd300.py',
    '../../_base_/downstream/detection/schedules/ssd.py',
    '../../_base_/downstream/detection/runtime.py',
]

# The paper's boxes for VOC: 0.1 of the image's side on conv4_3, then 0.2 to 0.9 (Section 3.1).
model = dict(bbox_head=dict(num_classes=20, anchor_generator=dict(basesize_ratio_range=(0.2, 0.9))))

# 80k iterations of 32 images at 1e-3, 20k at 1e-4 and 20k at 1e-5, as in the authors' release, here
# in epochs of the 16,551 images. (The paper's Section 3.1 says half of it, before the images were
# expanded: Section 3.6.)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], milestones=[155, 193]),
]
train_cfg = dict(max_epochs=232, val_interval=4)

# The published recipe starts from a whole classifier; convolutions alone are refused.
default_hooks = dict(classifier_init=dict(require_fc=True))
