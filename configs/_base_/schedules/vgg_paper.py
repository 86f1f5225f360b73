# Section 3.1: SGD, batch size 256, at most 74 epochs. The learning rate is divided by 10 when the
# validation accuracy stops improving, three times in total (1e-2 to 1e-5); then training stops.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-4, fused=True),
)
param_scheduler = dict(
    type='ReduceOnPlateauLR',
    monitor='accuracy/top1',
    rule='greater',
    factor=0.1,
    patience=5,
)
train_cfg = dict(by_epoch=True, max_epochs=74, val_interval=1)
val_cfg = dict()
test_cfg = dict()

custom_hooks = [dict(type='vgg_mm.StopAfterDropsHook', drops=3)]

# The learning rate is for 4 GPUs x 64 images; --auto-scale-lr adapts it to other batch sizes. On
# one GPU, --cfg-options optim_wrapper.accumulative_counts=4 gives the same batch of 4 x 64 = 256.
auto_scale_lr = dict(base_batch_size=256)
