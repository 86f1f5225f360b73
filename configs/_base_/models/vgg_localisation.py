# Net D that predicts boxes instead of class scores (Appendix A): one for each class in per-class
# regression (PCR), a single one in single-class regression (SCR).
_base_ = './vgg.py'

# With --tta this classification net, trained at the same S, scores the boxes: --cfg-options
# tta_model.classifiers.0.checkpoint=work_dirs/vgg16_s256_imagenet/epoch_74.pth
tta_model = dict(
    type='vgg_mm.LocalisationTTA',
    classifiers=[dict(config={{_base_.model}}, checkpoint=None)],
)
model = dict(
    head=dict(_delete_=True, type='vgg_mm.LocalisationHead', num_classes=1000, per_class=True)
)
