# Net D at a quarter of the width on the embedded digits. Staged initialisation from net A:
# --cfg-options default_hooks.staged_init.checkpoint=work_dirs/vgg11_jitter_digits/epoch_25.pth
_base_ = './vgg11_jitter_digits.py'

model = dict(backbone=dict(arch='D'))
# Deeper, a little longer.
param_scheduler = dict(milestones=[22, 28])
train_cfg = dict(max_epochs=30)
