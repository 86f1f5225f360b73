# Classification of raccoons and kangaroos: new fc6, fc7 and fc8 on the authors' thirteen
# convolutions. The localisation nets start from this net, and it scores their boxes.
_base_ = [
    '../_base_/models/vgg16_animals.py',
    '../_base_/datasets/animals_boxes.py',
    '../_base_/schedules/small_data.py',
    '../_base_/authors_convolutions.py',
    '../_base_/default_runtime.py',
]

model = dict(backbone=dict(frozen_stages=5))
val_evaluator = dict(_delete_=True, type='vgg_mm.TopKError', topk=(1,))
test_evaluator = val_evaluator
default_hooks = dict(
    logger=dict(interval=7),
    checkpoint=dict(interval=5),
    classifier_init=dict(
        type='vgg_mm.ClassifierInitHook', checkpoint={{_base_.authors_convolutions}}
    ),
)
randomness = dict(seed=0)
