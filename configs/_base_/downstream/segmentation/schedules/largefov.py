# The schedule of the DeepLab paper (Section 4.1): batches of 20 images, 6000 iterations, ten times
# the learning rate for the score layer, all rates divided by 10 every 2000 iterations; here
# converted to epochs of 10,582 images. For other batch sizes use --auto-scale-lr.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=5e-4, fused=True),
    # As in the authors' net: biases have twice the learning rate and no weight decay.
    paramwise_cfg=dict(
        bias_lr_mult=2,
        bias_decay_mult=0,
        custom_keys={
            'conv_seg': dict(lr_mult=10),
            'conv_seg.bias': dict(lr_mult=20, decay_mult=0),
        },
    ),
)
param_scheduler = dict(type='MultiStepLR', by_epoch=False, milestones=[2000, 4000], gamma=0.1)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=12, val_interval=2)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=20)
