_base_ = [
    '../../_base_/downstream/segmentation/models/fcn8s.py',
    '../../_base_/downstream/segmentation/datasets/voc12aug.py',
    '../../_base_/downstream/segmentation/schedules/fcn8s.py',
    '../../_base_/downstream/segmentation/runtime.py',
]

# All layers of fcn16s, and new ones for pool3, whose scores start at zero.
load_from = 'work_dirs/fcn16s_vgg16_voc12aug/epoch_58.pth'
default_hooks = dict(classifier_init=dict(checkpoint=None))
