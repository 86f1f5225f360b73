_base_ = [
    '../../_base_/downstream/detection/models/ssd300.py',
    '../../_base_/downstream/detection/datasets/voc0712_ssd300.py',
    '../../_base_/downstream/detection/schedules/ssd.py',
    '../../_base_/downstream/detection/runtime.py',
]

# The paper's default boxes for VOC (Section 3.1): 0.1 of the side on conv4_3, then 0.2 to 0.9.
model = dict(bbox_head=dict(num_classes=20, anchor_generator=dict(basesize_ratio_range=(0.2, 0.9))))

# Batches of 32 images, 80k iterations at a learning rate of 1e-3, 20k at 1e-4 and 20k at 1e-5, as
# in the authors' release; here converted to epochs of the 16,551 images. (Section 3.1 of the paper
# has half as many, without the random expansion of images: Section 3.6.)
param_scheduler = [
    _base_.param_scheduler[0],
    dict(_base_.param_scheduler[1], milestones=[155, 193]),
]
train_cfg = dict(max_epochs=232, val_interval=4)

# The published recipe starts from a whole classifier; weights without fc6 and fc7 are rejected.
default_hooks = dict(classifier_init=dict(require_fc=True))
