# FCN-32s with VGG-16 (Long et al., arXiv 1411.4038): the classifier's fc6 and fc7 as convolutions,
# a new score layer, and upsampling by 32.
_base_ = './preprocessing.py'

model = dict(
    type='EncoderDecoder',
    # ceil_mode: the feature map also covers the last rows and columns of the image.
    backbone=dict(type='vgg_mm.VGG', arch='D', ceil_mode=True, out_indices=(4,)),
    decode_head=dict(
        type='vgg_mm.FCNHead',
        num_classes=21,
        in_channels=512,
        kernel_size=7,
        fc_channels=4096,
        dropout_ratio=0.5,
        ignore_index=255,
        # The mean over all labelled pixels.
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
