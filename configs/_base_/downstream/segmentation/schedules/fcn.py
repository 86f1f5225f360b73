# The FCN paper's schedule (Sections 4.1 and 4.3): batches of 20 images, 175 epochs at a fixed
# learning rate, which is doubled for biases. As in the authors' nets, biases have no weight decay.
# For other batch sizes use --auto-scale-lr.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=1e-4, momentum=0.9, weight_decay=5e-4, fused=True),
    paramwise_cfg=dict(bias_lr_mult=2, bias_decay_mult=0),
)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=175, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=20)
