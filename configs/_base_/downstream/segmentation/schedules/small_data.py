# For some dozen images.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=5e-4, fused=True),
    paramwise_cfg=dict(bias_lr_mult=2),
    # Not of the papers: a narrow net's first steps on few images are rough.
    clip_grad=dict(max_norm=10),
)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=40, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=4)
