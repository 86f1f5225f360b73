# Net E, S in [256; 512].
# The paper fine-tunes the net trained at S = 384: --cfg-options
# load_from=work_dirs/vgg19_s384_imagenet/epoch_74.pth optim_wrapper.optimizer.lr=1e-3
_base_ = [
    '../_base_/models/vgg.py',
    '../_base_/datasets/imagenet_jitter.py',
    '../_base_/schedules/vgg_paper.py',
    '../_base_/default_runtime.py',
]

model = dict(backbone=dict(arch='E'))
