# Net A at a quarter of the width for crops of 96 and two classes.
_base_ = './vgg_small.py'

model = dict(backbone=dict(arch='A'), head=dict(num_classes=2, kernel_size=3))
