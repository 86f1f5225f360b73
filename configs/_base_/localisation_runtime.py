# Settings shared by all localisation nets, for training and testing.
_base_ = './default_runtime.py'

visualizer = dict(type='vgg_mm.BoxVisualizer')
default_hooks = dict(
    checkpoint=dict(save_best='localisation/error_class_known', rule='less'),
    # Copies all layers but the last from the classification net of the same S: --cfg-options
    # default_hooks.staged_init.checkpoint=work_dirs/vgg16_s256_imagenet/epoch_74.pth
    staged_init=dict(
        layers=[
            *('conv1_1', 'conv1_2', 'conv2_1', 'conv2_2', 'conv3_1', 'conv3_2', 'conv3_3'),
            *('conv4_1', 'conv4_2', 'conv4_3', 'conv5_1', 'conv5_2', 'conv5_3', 'fc6', 'fc7'),
        ]
    ),
)
