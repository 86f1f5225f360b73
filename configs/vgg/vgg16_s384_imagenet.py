# Net D, S = 384.
# The paper starts from the net trained at S = 256, with a learning rate of 1e-3: --cfg-options
# load_from=work_dirs/vgg16_s256_imagenet/epoch_74.pth optim_wrapper.optimizer.lr=1e-3
_base_ = [
    '../_base_/models/vgg.py',
    '../_base_/datasets/imagenet_s384.py',
    '../_base_/schedules/vgg_paper.py',
    '../_base_/default_runtime.py',
]

model = dict(backbone=dict(arch='D'))
