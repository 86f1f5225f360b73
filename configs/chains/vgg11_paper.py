# Net A (Section 3.1): random initialisation, S = 256, tested for its row of Table 3. This is also
# the first stage of the other nets' chains; it is trained only once.
stages = [
    dict(config='../vgg/vgg11_s256_imagenet.py', test='dense_one_scale'),
]

# Stages that start from the same net trained at another S begin at a tenth of the initial learning
# rate (Section 3.1).
fine_tuning = {'optim_wrapper.optimizer.lr': 1e-3}
