# Net A at a quarter of the width that tells raccoons from kangaroos: the classification net that
# the localisation nets start from, and that rates their boxes. From a net trained on other photos:
# --cfg-options load_from=FILE
_base_ = [
    '../_base_/models/vgg_small_animals.py',
    '../_base_/datasets/animals_boxes.py',
    '../_base_/schedules/small_data.py',
    '../_base_/default_runtime.py',
]

val_evaluator = dict(_delete_=True, type='vgg_mm.TopKError', topk=(1,))
test_evaluator = val_evaluator
default_hooks = dict(logger=dict(interval=7), checkpoint=dict(interval=5))
randomness = dict(seed=0)
