# Fine-tuning on your own photos: a tenth of the paper's initial learning rate (as in Section 3.1,
# where training starts from another net), ten times that for the new last layer, and two drops.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=5e-4, fused=True),
    paramwise_cfg=dict(custom_keys={'head.fc8': dict(lr_mult=10)}),
    # Not in the paper: keeps a batch of unusual photos from damaging the trained weights.
    clip_grad=dict(max_norm=5),
)
param_scheduler = dict(type='MultiStepLR', milestones=[12, 17], gamma=0.1)
train_cfg = dict(by_epoch=True, max_epochs=20, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=32)
