# Net D for crops of 128 and two classes, with fc6 and fc7 of 512 units. The authors' weights expect
# mean-subtracted BGR; the division by 58 scales the feature maps down for the new layers. The new
# layers have a standard deviation of 1e-2: with Glorot's larger weights, boxes are learnt worse.
_base_ = './vgg.py'

model = dict(
    data_preprocessor=dict(mean=[103.939, 116.779, 123.68], std=[58.0] * 3, to_rgb=False),
    head=dict(num_classes=2, fc_channels=512, kernel_size=4, init_cfg='normal_std'),
)
