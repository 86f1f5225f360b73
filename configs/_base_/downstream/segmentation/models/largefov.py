# DeepLab-LargeFOV with VGG-16 (Chen et al., arXiv 1412.7062), without its CRF: 3x3 pooling, the
# last two with stride 1 and followed by dilated convolutions. fc6 keeps every third row and column,
# with a dilation of 12; fc6 and fc7 keep every fourth of their 4096 filters.
_base_ = './preprocessing.py'

model = dict(
    type='EncoderDecoder',
    backbone=dict(
        type='vgg_mm.VGG',
        arch='D',
        strides=(2, 2, 2, 1, 1),
        dilations=(1, 1, 1, 1, 2),
        pool_size=3,
        out_indices=(4,),
    ),
    decode_head=dict(
        type='vgg_mm.LargeFOVHead',
        num_classes=21,
        in_channels=512,
        fc_channels=1024,
        kernel_size=3,
        dilation=12,
        dropout_ratio=0.5,
        ignore_index=255,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
