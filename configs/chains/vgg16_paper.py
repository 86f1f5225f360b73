# Net D (Section 3.1): A; D at S = 256, whose first four convolutional and three fully-connected
# layers come from A; then all layers of D at S = 384 and with S in [256; 512]. The tests are its
# rows of Tables 3, 4 and 5.
_base_ = './vgg11_paper.py'

stages = [
    *_base_.stages,
    dict(
        config='../vgg/vgg16_s256_imagenet.py',
        staged_from='vgg11_s256_imagenet',
        test=['dense_one_scale', 'dense'],
    ),
    dict(
        config='../vgg/vgg16_s384_imagenet.py',
        start_from='vgg16_s256_imagenet',
        options=_base_.fine_tuning,
        test=['dense_one_scale', 'dense'],
    ),
    dict(
        config='../vgg/vgg16_jitter_imagenet.py',
        start_from='vgg16_s384_imagenet',
        options=_base_.fine_tuning,
        test=['dense_one_scale', 'all'],
    ),
]
