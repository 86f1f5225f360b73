# DeepLab-LargeFOV with the schedule of DeepLab v2 (arXiv 1606.00915, Section 4.1): batches of 10
# images, a learning rate proportional to (1 - iteration / 20,000)^0.9; here 19 epochs of 10,582
# images.
_base_ = './deeplab_largefov_vgg16_voc12aug.py'

train_dataloader = dict(batch_size=10)
param_scheduler = dict(
    _delete_=True,
    type='PolyLR',
    power=0.9,
    eta_min=0,
    begin=0,
    end=19,
    by_epoch=True,
    convert_to_iter_based=True,
)
train_cfg = dict(max_epochs=19)
auto_scale_lr = dict(base_batch_size=10)
