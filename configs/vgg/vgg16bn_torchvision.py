# Net D with batch norm and torchvision's weights, 553 MB.
_base_ = './vgg16_torchvision.py'

model = dict(backbone=dict(norm_cfg=dict(type='BN')))
load_from = 'torchvision://vgg16_bn'
