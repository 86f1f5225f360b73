_base_ = [
    '../../_base_/downstream/segmentation/models/fcn8s.py',
    '../../_base_/downstream/segmentation/datasets/voc12aug.py',
    '../../_base_/downstream/segmentation/schedules/fcn8s.py',
    '../../_base_/downstream/segmentation/runtime.py',
]

# All layers come from fcn16s; the new score layer of pool3 starts at zero.
load_from = 'work_dirs/fcn16s_vgg16_voc12aug/epoch_58.pth'
default_hooks = dict(classifier_init=dict(checkpoint=None))
