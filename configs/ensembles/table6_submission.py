# Table 6, submission to ILSVRC-2014: seven nets, dense evaluation, each at its scales of Table 4.
# Errors in the paper: 24.7 % top-1 and 7.5 % top-5 on validation, 7.3 % top-5 on test.
name = 'submission (7 nets)'
members = [
    dict(config='vgg16_s256_imagenet', protocol='dense'),
    dict(config='vgg16_s384_imagenet', protocol='dense'),
    dict(config='vgg16_jitter_imagenet', protocol='dense'),
    dict(config='vgg16c_s256_imagenet', protocol='dense'),
    dict(config='vgg16c_s384_imagenet', protocol='dense'),
    dict(config='vgg19_s256_imagenet', protocol='dense'),
    dict(config='vgg19_s384_imagenet', protocol='dense'),
]
