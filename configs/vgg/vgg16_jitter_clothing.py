# Net D at a quarter of the width, on photos of clothes. Staged initialisation from net A:
# --cfg-options default_hooks.staged_init.checkpoint=work_dirs/vgg11_jitter_clothing/epoch_16.pth
_base_ = './vgg11_jitter_clothing.py'

model = dict(backbone=dict(arch='D'))
