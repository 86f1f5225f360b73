# Table 6, the two best nets: D and E, S in [256; 512], Q = 256, 384, 512, with all three protocols.
# The paper's top-1 / top-5 error on the validation set in percent:
#   dense 24.0 / 7.1, multi-crop 23.9 / 7.2, multi-crop & dense 23.7 / 6.8.
members = [
    dict(config='vgg16_jitter_imagenet'),
    dict(config='vgg19_jitter_imagenet'),
]
