# Fusion of two nets, S = 256 at Q = 256 and S = 384 at Q = 352 and 384, each with its
# classification net (--tta). Table 9: 26.9. The checkpoint of the command line is the localisation
# net of S = 384.
_base_ = './vgg16_pcr_s384_imagenet.py'

classifier = _base_.tta_model.classifiers[0].config
tta_model = dict(
    scales=(352, 384),
    classifiers=[
        dict(config=classifier, checkpoint=None, scales=(352, 384)),
        dict(config=classifier, checkpoint=None, scales=(256,)),
    ],
    localisers=[dict(config=_base_.model, checkpoint=None, scales=(256,))],
)
tta_pipeline = [
    dict(type='vgg_mm.LoadImage'),
    dict(type='vgg_mm.TestScales', scales=(256, 352, 384)),
    dict(type='PackInputs', algorithm_keys=('gt_bboxes',)),
]
