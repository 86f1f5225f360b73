# The SSD paper's for COCO (its Section 3.4): 32 images an iteration, 160k iterations at 1e-3, then
# 40k at 1e-4 and 40k at 1e-5, here in epochs of train2017. Other batches: --auto-scale-lr.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=5e-4, fused=True),
)
param_scheduler = dict(type='MultiStepLR', milestones=[44, 55], gamma=0.1)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=66, val_interval=2)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=32)
