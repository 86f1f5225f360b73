# Net D at a quarter of the width, on scikit-learn's digits. Staged initialisation from net A:
# --cfg-options default_hooks.staged_init.checkpoint=work_dirs/vgg11_jitter_digits/epoch_22.pth
_base_ = './vgg11_jitter_digits.py'

model = dict(backbone=dict(arch='D'))
