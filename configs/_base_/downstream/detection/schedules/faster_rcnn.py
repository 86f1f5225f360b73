# The Faster R-CNN paper's schedule for COCO (Section 4.2): batches of 8 images, 240k iterations at
# a learning rate of 0.003 and 80k at 0.0003, here converted to epochs of train2017. For other batch
# sizes use --auto-scale-lr.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.003, momentum=0.9, weight_decay=5e-4, fused=True),
    # As in the authors' nets: biases have twice the learning rate and no weight decay.
    paramwise_cfg=dict(bias_lr_mult=2, bias_decay_mult=0),
    # Not in the paper: VGG's features are large, and some images have very large gradients.
    clip_grad=dict(max_norm=10),
)
param_scheduler = [
    # Not in the paper: a warm-up for new layers on top of trained ones.
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', milestones=[16], gamma=0.1),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=22, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=8)
