# For a few hundred images with boxes in COCO format, in DATA_ROOT/{train,val}/ and
# DATA_ROOT/{train,val}.json, with the pipelines of SSD300.
_base_ = './coco_ssd300.py'

train_dataloader = dict(
    batch_size=4, num_workers=2, dataset=dict(ann_file='train.json', data_prefix=dict(img='train/'))
)
val_dataloader = dict(dataset=dict(ann_file='val.json', data_prefix=dict(img='val/')))
test_dataloader = val_dataloader
