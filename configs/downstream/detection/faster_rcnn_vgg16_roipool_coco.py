# Faster R-CNN with the paper's RoIPool, which mmcv implements only for GPUs.
_base_ = './faster_rcnn_vgg16_coco.py'

model = dict(
    roi_head=dict(
        bbox_roi_extractor=dict(roi_layer=dict(_delete_=True, type='RoIPool', output_size=7))
    )
)
