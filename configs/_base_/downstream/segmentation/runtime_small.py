# For some dozen images: from the authors' thirteen convolutions, Keras's file of them (58 MB). It
# has no fc6 and fc7; those stay as drawn.
_base_ = './runtime.py'

default_hooks = dict(
    classifier_init=dict(
        checkpoint='https://storage.googleapis.com/tensorflow/keras-applications/vgg16/'
        'vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5',
    ),
    logger=dict(interval=4),
)
