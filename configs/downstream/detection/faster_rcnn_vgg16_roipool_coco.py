# With the paper's own RoIPool, which mmcv has for GPUs only.
_base_ = './faster_rcnn_vgg16_coco.py'

model = dict(
    roi_head=dict(
        bbox_roi_extractor=dict(roi_layer=dict(_delete_=True, type='RoIPool', output_size=7))
    )
)
