# Net A, then net D from A, at a quarter of the width, on photos of clothes or any in class folders.
stages = [
    dict(config='../vgg/vgg11_jitter_clothing.py', test='dense'),
    dict(
        config='../vgg/vgg16_jitter_clothing.py',
        staged_from='vgg11_jitter_clothing',
        test='all',
    ),
]
