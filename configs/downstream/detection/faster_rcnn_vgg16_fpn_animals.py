# Faster R-CNN on a feature pyramid, from the authors' convolutions: raccoons and kangaroos. These
# fill their photos, and one map is better (benchmarks/README.md); a pyramid is for small objects.
_base_ = [
    './faster_rcnn_vgg16_animals.py',
    '../../_base_/downstream/detection/models/feature_pyramid.py',
]

model = _base_.feature_pyramid
