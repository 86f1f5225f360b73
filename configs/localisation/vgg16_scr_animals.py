# Single-class regression, second stage: all layers fine-tuned.
_base_ = './vgg16_pcr_animals.py'

load_from = 'work_dirs/vgg16_scr_fc_animals/epoch_30.pth'
model = dict(head=dict(per_class=False))
