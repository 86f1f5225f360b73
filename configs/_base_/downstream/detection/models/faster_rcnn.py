# Faster R-CNN with VGG-16 as in its paper (Ren et al., arXiv 1506.01497): one feature map, conv5_3
# with stride 16; the 7x7 features of each region pass through the classifier's fc6 and fc7. Unlike
# the paper, it uses RoIAlign, which was published later, instead of RoIPool.
_base_ = './preprocessing.py'

model = dict(
    type='FasterRCNN',
    # Section 3.3: conv1 and conv2 are frozen, all other layers are fine-tuned.
    backbone=dict(
        type='vgg_mm.VGG',
        arch='D',
        out_indices=('conv5_3',),
        with_last_pool=False,
        frozen_stages=2,
    ),
    rpn_head=dict(
        type='RPNHead',
        in_channels=512,
        feat_channels=512,
        # Anchors of areas 128^2, 256^2 and 512^2, and 64^2 for COCO (Section 4.2), in three shapes.
        anchor_generator=dict(
            type='AnchorGenerator', scales=[4, 8, 16, 32], ratios=[0.5, 1.0, 2.0], strides=[16]
        ),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_stds=[1.0, 1.0, 1.0, 1.0]),
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True),
        loss_bbox=dict(type='SmoothL1Loss', beta=1 / 9),
    ),
    roi_head=dict(
        type='StandardRoIHead',
        bbox_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0),
            out_channels=512,
            featmap_strides=[16],
        ),
        bbox_head=dict(
            type='vgg_mm.VGGBBoxHead',
            in_channels=512,
            roi_feat_size=7,
            fc_channels=4096,
            dropout=0.5,
            num_classes=80,
            bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_stds=[0.1, 0.1, 0.2, 0.2]),
            loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False),
            loss_bbox=dict(type='SmoothL1Loss', beta=1.0),
        ),
    ),
    train_cfg=dict(
        rpn=dict(
            # The best anchor of every box is positive, even for small boxes (Section 3.1.2). With
            # mmdet's min_pos_iou=0.3, boxes below about 35 pixels have no positive anchor.
            assigner=dict(
                type='MaxIoUAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=1e-6
            ),
            sampler=dict(
                type='RandomSampler', num=256, pos_fraction=0.5, add_gt_as_proposals=False
            ),
            # The paper ignores anchors that cross the image boundary (allowed_border=0); training
            # then fails at an image that has no other anchors.
            allowed_border=-1,
            pos_weight=-1,
            debug=False,
        ),
        rpn_proposal=dict(nms_pre=12000, max_per_img=2000, nms=dict(type='nms', iou_threshold=0.7)),
        rcnn=dict(
            assigner=dict(
                type='MaxIoUAssigner',
                pos_iou_thr=0.5,
                neg_iou_thr=0.5,
                min_pos_iou=0.5,
                match_low_quality=False,
            ),
            sampler=dict(type='RandomSampler', num=128, pos_fraction=0.25),
            pos_weight=-1,
            debug=False,
        ),
    ),
    test_cfg=dict(
        rpn=dict(nms_pre=6000, max_per_img=300, nms=dict(type='nms', iou_threshold=0.7)),
        rcnn=dict(score_thr=0.05, nms=dict(type='nms', iou_threshold=0.3), max_per_img=100),
    ),
)
