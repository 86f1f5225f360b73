# Appendix A.1: the schedule of Section 3.1 with an initial learning rate of 1e-3, divided by 10
# when the localisation error on the validation images stops falling.
_base_ = './vgg_paper.py'

optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = dict(monitor='localisation/error_class_known', rule='less')
