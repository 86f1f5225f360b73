# The schedule of the authors' release for COCO, with random expansion of the images: batches of 32,
# 280k iterations at a learning rate of 1e-3, 80k at 1e-4 and 40k at 1e-5, here converted to epochs
# of train2017. (Section 3.4 of the paper has 160k, 40k and 40k without the expansion, which doubles
# the number of iterations: Section 3.6.) For other batch sizes use --auto-scale-lr.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=5e-4, fused=True),
    # As in the authors' nets: biases have twice the learning rate and no weight decay.
    paramwise_cfg=dict(bias_lr_mult=2, bias_decay_mult=0),
)
param_scheduler = [
    # Not in the authors' release: a warm-up for new layers on top of trained ones.
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', milestones=[76, 98], gamma=0.1),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=109, val_interval=2)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=32)
