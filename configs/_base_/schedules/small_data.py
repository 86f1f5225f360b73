# The paper's optimiser with a small batch size and two drops of the learning rate at fixed epochs.
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-4, fused=True),
    # Not in the paper: without it, the loss of a narrow net sometimes returns to ln(num_classes)
    # and stays there.
    clip_grad=dict(max_norm=5),
)
param_scheduler = dict(type='MultiStepLR', milestones=[16, 20], gamma=0.1)
train_cfg = dict(by_epoch=True, max_epochs=22, val_interval=5)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=32)
