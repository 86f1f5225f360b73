# Appendix A.1: as in Section 3.1, at an initial rate of 1e-3, divided by 10 when the localisation
# error on the validation images stops falling.
_base_ = './vgg_paper.py'

optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = dict(monitor='localisation/error_class_known', rule='less')
