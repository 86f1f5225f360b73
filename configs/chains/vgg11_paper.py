# Net A (Section 3.1): random initialisation, S = 256; its row of Table 3. The first stage of the
# other nets' chains, trained once for all of them.
stages = [
    dict(config='../vgg/vgg11_s256_imagenet.py', test='dense_one_scale'),
]

# Stages that start from a trained net of the same kind begin at a tenth of the rate (Section 3.1).
fine_tuning = {'optim_wrapper.optimizer.lr': 1e-3}
