# The authors' thirteen convolutions of net D, in Keras's file (58 MB), which has no fc6 and fc7.
authors_convolutions = (
    'https://storage.googleapis.com/tensorflow/keras-applications/vgg16/'
    'vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5'
)
