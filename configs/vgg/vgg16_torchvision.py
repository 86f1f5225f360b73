# Net D with torchvision's weights, 553 MB, and their pre-processing.
_base_ = './vgg16_s256_imagenet.py'

model = dict(data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]))
load_from = 'torchvision://vgg16'
