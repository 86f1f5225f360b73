# Net D for 1000 classes; each config sets its own arch. The paper's pre-processing only subtracts
# the training set's mean RGB (Section 2.1); it does not divide by a standard deviation.
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(
        type='ClsDataPreprocessor',
        mean=[123.68, 116.779, 103.939],
        std=[1.0, 1.0, 1.0],
        to_rgb=True,
    ),
    # init_cfg is one word: 'glorot', 'kaiming', 'normal_var' (as printed in the paper, variance
    # 1e-2) or 'normal_std' (standard deviation 1e-2).
    backbone=dict(type='vgg_mm.VGG', arch='D', init_cfg='glorot'),
    head=dict(type='vgg_mm.ConvHead', num_classes=1000, init_cfg='glorot'),
)
