# Images in class folders, as in ImageNet: DATA_ROOT/train/CLASS/* and DATA_ROOT/val/CLASS/*.
# For other data use --cfg-options DATA_ROOT=FOLDER. Configs based on this file set the pipelines.
DATA_ROOT = 'data/imagenet'

train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(type='CustomDataset', data_root=DATA_ROOT, data_prefix='train'),
)

val_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='CustomDataset', data_root=DATA_ROOT, data_prefix='val', test_mode=True),
)
val_evaluator = dict(type='vgg_mm.TopKError', topk=(1, 5))

test_dataloader = val_dataloader
test_evaluator = val_evaluator
