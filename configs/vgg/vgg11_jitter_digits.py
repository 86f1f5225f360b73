# Net A at a quarter of the width, on scikit-learn's digits; training takes minutes on two cores.
_base_ = [
    '../_base_/models/vgg_small.py',
    '../_base_/datasets/digits.py',
    '../_base_/schedules/small_data.py',
    '../_base_/default_runtime.py',
]

model = dict(
    # The digits' own mean, from `python tools/rgb_statistics.py data/digits/train`.
    data_preprocessor=dict(mean=[77.8, 77.8, 77.8]),
    backbone=dict(arch='A'),
    head=dict(kernel_size=2),  # the feature map of a 64x64 crop is 2x2
)
default_hooks = dict(logger=dict(interval=15), checkpoint=dict(interval=5))
randomness = dict(seed=0)
