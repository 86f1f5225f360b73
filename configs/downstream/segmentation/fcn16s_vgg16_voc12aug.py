_base_ = [
    '../../_base_/downstream/segmentation/models/fcn16s.py',
    '../../_base_/downstream/segmentation/datasets/voc12aug.py',
    '../../_base_/downstream/segmentation/schedules/fcn_finer.py',
    '../../_base_/downstream/segmentation/runtime.py',
]

# All layers come from fcn32s; the new score layer of pool4 starts at zero.
load_from = 'work_dirs/fcn32s_vgg16_voc12aug/epoch_175.pth'
default_hooks = dict(classifier_init=dict(checkpoint=None))
