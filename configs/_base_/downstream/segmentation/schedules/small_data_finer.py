# From a coarser FCN to a finer one.
_base_ = './small_data.py'

optim_wrapper = dict(optimizer=dict(lr=1e-4))
train_cfg = dict(max_epochs=20)
