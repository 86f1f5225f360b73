# From trained weights to your own photos: a tenth of the paper's first rate (as where it starts
# from a trained net, Section 3.1), ten times that for the new last layer; two drops.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=5e-4, fused=True),
    paramwise_cfg=dict(custom_keys={'head.fc8': dict(lr_mult=10)}),
    # Not the paper's: keeps a batch of odd photos from spoiling trained weights.
    clip_grad=dict(max_norm=5),
)
param_scheduler = dict(type='MultiStepLR', milestones=[12, 17], gamma=0.1)
train_cfg = dict(by_epoch=True, max_epochs=20, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=32)
