# From FCN-16s to FCN-8s: the learning rate is divided by 100 again, as in the authors' release (the
# paper gives no learning rate for FCN-8s).
_base_ = './fcn_finer.py'

optim_wrapper = dict(optimizer=dict(lr=1e-8))
