# Net A, then net D from A, at a quarter of the width on the embedded digits: minutes on two cores.
# The data come from `python tools/prepare_data.py digits`.
stages = [
    dict(config='../vgg/vgg11_jitter_digits.py', test='dense'),
    dict(
        config='../vgg/vgg16_jitter_digits.py',
        staged_from='vgg11_jitter_digits',
        test='all',
    ),
]
