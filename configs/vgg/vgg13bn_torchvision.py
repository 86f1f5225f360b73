# Net B with batch norm and torchvision's weights, 532 MB.
_base_ = './vgg13_torchvision.py'

model = dict(backbone=dict(norm_cfg=dict(type='BN')))
load_from = 'torchvision://vgg13_bn'
