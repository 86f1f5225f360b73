# FCN-8s: street scenes.
_base_ = [
    '../../_base_/downstream/segmentation/models/fcn8s_small.py',
    '../../_base_/downstream/segmentation/datasets/camvid.py',
    '../../_base_/downstream/segmentation/schedules/small_data_finer.py',
    '../../_base_/downstream/segmentation/runtime_small.py',
]

# Label 11 is "void": not learned, and what padding gets.
model = dict(
    data_preprocessor=dict(seg_pad_val=11), decode_head=dict(num_classes=11, ignore_index=11)
)

# All layers of fcn16s, and new ones for pool3, whose scores start at zero.
load_from = 'work_dirs/fcn16s_vgg16_camvid/epoch_15.pth'
default_hooks = dict(classifier_init=dict(checkpoint=None))
