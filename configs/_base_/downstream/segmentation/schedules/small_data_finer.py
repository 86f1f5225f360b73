# From a coarser FCN to a finer one: 0.3 times the learning rate, half the epochs.
_base_ = './small_data.py'

optim_wrapper = dict(optimizer=dict(lr=3e-3))
param_scheduler = dict(
    _delete_=True, type='PolyLR', power=0.9, eta_min=1e-5, by_epoch=False, begin=0, end=180
)
train_cfg = dict(max_epochs=15, val_interval=5)
