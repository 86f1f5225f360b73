# The Faster R-CNN paper's for COCO (its Section 4.2): 8 images an iteration, 240k iterations at
# 0.003 and 80k at 0.0003, here in epochs of train2017. Other batches: --auto-scale-lr.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.003, momentum=0.9, weight_decay=5e-4, fused=True),
)
param_scheduler = dict(type='MultiStepLR', milestones=[16], gamma=0.1)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=22, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=8)
