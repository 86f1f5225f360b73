# Types without a prefix are looked up in MMDetection's registries; this package's have the prefix
# "vgg_mm.". MMDetection's own tools run these configs, thanks to custom_imports.
default_scope = 'mmdet'
custom_imports = dict(imports=['vgg_mm'], allow_failed_imports=False)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # 'auto' is the first reported metric: coco/bbox_mAP or pascal_voc/mAP.
    checkpoint=dict(
        type='CheckpointHook', interval=1, max_keep_ckpts=2, save_best='auto', rule='greater'
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='DetVisualizationHook'),
    # Initialises conv1_1 ... conv5_3, fc6 and fc7 from a classifier, a file or URL in the layout of
    # any supported library:
    # --cfg-options default_hooks.classifier_init.checkpoint=FILE
    classifier_init=dict(type='vgg_mm.ClassifierInitHook', checkpoint='torchvision://vgg16'),
    # Checks that training set, validation set and head have the same classes.
    class_check=dict(type='vgg_mm.ClassCheckHook'),
    # Reports wrong annotation files, and how to correct them.
    annotation_check=dict(type='vgg_mm.AnnotationCheckHook'),
    # Reports a learning rate that is for another batch size.
    batch_size_notice=dict(type='vgg_mm.BatchSizeNoticeHook'),
    # Stops if the loss is not finite.
    loss_guard=dict(type='vgg_mm.LossGuardHook'),
    # mmcv's RoIAlign and NMS do not support bfloat16.
    float32_operators=dict(type='vgg_mm.Float32OperatorsHook'),
)
# Warns if the pre-processing is not that of the pre-trained weights (Pretrained) or the checkpoint.
custom_hooks = [dict(type='vgg_mm.PreprocessingHook')]

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='DetLocalVisualizer', vis_backends=vis_backends, name='visualizer')

log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=None, deterministic=False)
