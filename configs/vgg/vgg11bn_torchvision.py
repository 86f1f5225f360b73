# Net A with batch norm and torchvision's weights, 531 MB.
_base_ = './vgg11_torchvision.py'

model = dict(backbone=dict(norm_cfg=dict(type='BN')))
load_from = 'torchvision://vgg11_bn'
