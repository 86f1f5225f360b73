# The net of vgg16_animals.py with a box for each class; with --tta the classification net scores
# the boxes.
_base_ = './vgg16_animals.py'

tta_model = dict(
    type='vgg_mm.LocalisationTTA',
    classifiers=[dict(config={{_base_.model}}, checkpoint=None)],
)
model = dict(
    head=dict(
        _delete_=True,
        type='vgg_mm.LocalisationHead',
        num_classes=2,
        per_class=True,
        fc_channels=512,
        kernel_size=4,
        init_cfg='normal_std',
    )
)
