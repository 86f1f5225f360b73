# For a few dozen images: starts from the authors' convolutions; fc6 and fc7 are initialised
# randomly.
_base_ = ['./runtime.py', '../../authors_convolutions.py']

default_hooks = dict(
    classifier_init=dict(checkpoint={{_base_.authors_convolutions}}), logger=dict(interval=4)
)
