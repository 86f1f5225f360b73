# Images as torchvision's weights expect them: RGB, ImageNet's mean and standard deviation.
# For weights of the authors' kind (mean only): std=[1.0, 1.0, 1.0].
model = dict(
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    )
)
