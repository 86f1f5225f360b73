# The net of vgg16_pcr_s384_imagenet.py, tested at Q = 352 and 384 (--tta). Table 9: 27.5.
_base_ = './vgg16_pcr_s384_imagenet.py'

tta_pipeline = [
    dict(type='vgg_mm.LoadImage'),
    dict(type='vgg_mm.TestScales', scales=(352, 384)),
    dict(type='PackInputs', algorithm_keys=('gt_bboxes',)),
]
