# From FCN-16s to FCN-8s: a hundredth of the rate once more, as in the authors' release (the paper
# says no rate of FCN-8s).
_base_ = './fcn_finer.py'

optim_wrapper = dict(optimizer=dict(lr=1e-8))
