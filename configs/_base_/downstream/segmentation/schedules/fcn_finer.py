# From a coarser FCN to a finer one: a hundredth of the rate (the paper's Section 4.2), and a third
# of the time (its Section 4.3: three days for FCN-32s, one for each of the others).
_base_ = './fcn.py'

optim_wrapper = dict(optimizer=dict(lr=1e-6))
train_cfg = dict(max_epochs=58)
