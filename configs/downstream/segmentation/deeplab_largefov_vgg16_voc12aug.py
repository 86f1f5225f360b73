_base_ = [
    '../../_base_/downstream/segmentation/models/largefov.py',
    '../../_base_/downstream/segmentation/datasets/voc12aug_crops.py',
    '../../_base_/downstream/segmentation/schedules/largefov.py',
    '../../_base_/downstream/segmentation/runtime.py',
]
