# Net E with batch norm and torchvision's weights, 575 MB.
_base_ = './vgg19_torchvision.py'

model = dict(backbone=dict(norm_cfg=dict(type='BN')))
load_from = 'torchvision://vgg19_bn'
