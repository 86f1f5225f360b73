# FCN-16s on street scenes, initialised with FCN-32s.
_base_ = [
    '../../_base_/downstream/segmentation/models/fcn16s_small.py',
    '../../_base_/downstream/segmentation/datasets/camvid.py',
    '../../_base_/downstream/segmentation/schedules/small_data_finer.py',
    '../../_base_/downstream/segmentation/runtime_small.py',
]

# Label 11 is "void": the loss ignores it, and masks are padded with it.
model = dict(
    data_preprocessor=dict(seg_pad_val=11), decode_head=dict(num_classes=11, ignore_index=11)
)

# All layers come from fcn32s; the new score layer of pool4 starts at zero.
load_from = 'work_dirs/fcn32s_vgg16_camvid/epoch_30.pth'
default_hooks = dict(classifier_init=dict(checkpoint=None))
