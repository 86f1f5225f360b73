# FCN-16s with the "heavy learning" of the authors' release (voc-fcn16s/solver.prototxt): a batch
# size of 1, momentum 0.99, a fixed learning rate and 100k iterations, here 10 epochs of 10,582
# images. The loss is the sum over the pixels, so that the learning rate does not depend on the
# batch size.
_base_ = './fcn16s_vgg16_voc12aug.py'

model = dict(
    decode_head=dict(
        # Fixed, bilinear.
        learned_upsampling='none',
        loss_decode=dict(_delete_=True, type='CrossEntropyLoss', reduction='sum'),
    )
)
train_dataloader = dict(batch_size=1)
optim_wrapper = dict(optimizer=dict(lr=1e-12, momentum=0.99))
train_cfg = dict(max_epochs=10, val_interval=1)
auto_scale_lr = None

load_from = 'work_dirs/fcn32s_vgg16_heavy_voc12aug/epoch_10.pth'
