# Pre-processing for torchvision's weights: RGB, normalised by ImageNet's mean and standard
# deviation. For weights trained like the authors' (mean subtraction only): std=[1.0, 1.0, 1.0]. The
# images of a batch are padded to the size of the largest, their masks with "void".
model = dict(
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size_divisor=32,
    )
)
