# Net A, then net D from A, at a quarter of the width, on scikit-learn's digits, which are written
# by `python tools/prepare_data.py digits`. It takes minutes on two cores.
stages = [
    dict(config='../vgg/vgg11_jitter_digits.py', test='dense'),
    dict(
        config='../vgg/vgg16_jitter_digits.py',
        staged_from='vgg11_jitter_digits',
        test='all',
    ),
]
