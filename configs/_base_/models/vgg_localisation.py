# Net D with a box in place of class scores (Appendix A). Per-class regression (PCR) has a box for
# each class, single-class regression (SCR) one box for all.
_base_ = './vgg.py'

# The net that rates boxes with --tta, trained at the same S: --cfg-options
# tta_model.classifiers.0.checkpoint=work_dirs/vgg16_s256_imagenet/epoch_74.pth
tta_model = dict(
    type='vgg_mm.LocalisationTTA',
    classifiers=[dict(config={{_base_.model}}, checkpoint=None)],
)
model = dict(
    head=dict(_delete_=True, type='vgg_mm.LocalisationHead', num_classes=1000, per_class=True)
)
