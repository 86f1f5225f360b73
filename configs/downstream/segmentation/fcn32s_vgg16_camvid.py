# FCN-32s at a quarter of the width: street scenes.
_base_ = [
    '../../_base_/downstream/segmentation/models/fcn32s_small.py',
    '../../_base_/downstream/segmentation/datasets/camvid.py',
    '../../_base_/downstream/segmentation/schedules/small_data.py',
    '../../_base_/downstream/segmentation/runtime.py',
]

# Label 11 is "void": not learned, and what padding gets.
model = dict(
    data_preprocessor=dict(seg_pad_val=11), decode_head=dict(num_classes=11, ignore_index=11)
)

# None: from random weights. A classifier of this width, e.g. that of vgg16_jitter_clothing.py:
# --cfg-options default_hooks.classifier_init.checkpoint=FILE
default_hooks = dict(classifier_init=dict(checkpoint=None))
