# From a coarser FCN to a finer one: the learning rate is divided by 100 (Section 4.2 of the paper),
# the number of epochs by 3 (Section 4.3: three days for FCN-32s, one for each of the others).
_base_ = './fcn.py'

optim_wrapper = dict(optimizer=dict(lr=1e-6))
train_cfg = dict(max_epochs=58)
