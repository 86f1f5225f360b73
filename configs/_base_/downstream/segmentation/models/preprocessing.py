# Images as torchvision's weights expect them: RGB, ImageNet's mean and standard deviation.
# For weights of the authors' kind (mean only): std=[1.0, 1.0, 1.0]. Images of a batch are padded to
# the largest, their labels with "void".
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
