# FCN-32s on street scenes, initialised with the authors' convolutions.
_base_ = [
    '../../_base_/downstream/segmentation/models/fcn32s_small.py',
    '../../_base_/downstream/segmentation/datasets/camvid.py',
    '../../_base_/downstream/segmentation/schedules/small_data.py',
    '../../_base_/downstream/segmentation/runtime_small.py',
]

# Label 11 is "void": the loss ignores it, and masks are padded with it.
model = dict(
    data_preprocessor=dict(seg_pad_val=11), decode_head=dict(num_classes=11, ignore_index=11)
)
