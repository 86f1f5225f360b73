# Net C (Section 3.1): A; C at S = 256, whose first four convolutional and three fully-connected
# layers come from A; then all layers of C at S = 384 and with S in [256; 512]. The tests are its
# rows of Tables 3 and 4.
_base_ = './vgg11_paper.py'

stages = [
    *_base_.stages,
    dict(
        config='../vgg/vgg16c_s256_imagenet.py',
        staged_from='vgg11_s256_imagenet',
        test=['dense_one_scale', 'dense'],
    ),
    dict(
        config='../vgg/vgg16c_s384_imagenet.py',
        start_from='vgg16c_s256_imagenet',
        options=_base_.fine_tuning,
        test=['dense_one_scale', 'dense'],
    ),
    dict(
        config='../vgg/vgg16c_jitter_imagenet.py',
        start_from='vgg16c_s384_imagenet',
        options=_base_.fine_tuning,
        test=['dense_one_scale', 'dense'],
    ),
]
