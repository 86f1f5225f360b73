# Net B (Section 3.1): A; then B at S = 256, whose first four convolutional and three
# fully-connected layers come from A. The tests are its rows of Tables 3 and 4.
_base_ = './vgg11_paper.py'

stages = [
    *_base_.stages,
    dict(
        config='../vgg/vgg13_s256_imagenet.py',
        staged_from='vgg11_s256_imagenet',
        test=['dense_one_scale', 'dense'],
    ),
]
