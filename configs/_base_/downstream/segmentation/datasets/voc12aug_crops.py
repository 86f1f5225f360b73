# Same as voc12aug.py, with random crops of 321 x 321 pixels for training.
_base_ = './voc12aug.py'

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomCrop', crop_size=(321, 321)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(one, pipeline=train_pipeline) for one in _base_.train_dataloader.dataset.datasets
        ]
    )
)
