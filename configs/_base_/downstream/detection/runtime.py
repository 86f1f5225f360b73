# MMDetection's registries first; this package's are reached by their prefix. Besides
# custom_imports, MMDetection's own tools need nothing to run these configs.
default_scope = 'mmdet'
custom_imports = dict(imports=['vgg_mm'], allow_failed_imports=False)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # 'auto': the first metric that is reported: coco/bbox_mAP, pascal_voc/mAP.
    checkpoint=dict(
        type='CheckpointHook', interval=1, max_keep_ckpts=2, save_best='auto', rule='greater'
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='DetVisualizationHook'),
    # conv1_1 ... conv5_3, fc6 and fc7 from a classifier: a file or URL of any library's layout.
    # --cfg-options default_hooks.classifier_init.checkpoint=FILE
    classifier_init=dict(type='vgg_mm.ClassifierInitHook', checkpoint='torchvision://vgg16'),
    # Training and validation set and head have to mean the same classes.
    class_check=dict(type='vgg_mm.ClassCheckHook'),
    # Annotation files that would be misunderstood are named, with what would be right.
    annotation_check=dict(type='vgg_mm.AnnotationCheckHook'),
    # Whether the learning rate is for as many images a step as there are.
    batch_size_notice=dict(type='vgg_mm.BatchSizeNoticeHook'),
    # Stops at a loss that is not finite.
    loss_guard=dict(type='vgg_mm.LossGuardHook'),
    # mmcv's RoIAlign and nms know no bfloat16.
    float32_operators=dict(type='vgg_mm.Float32OperatorsHook'),
)
# Whether images are pre-processed as weights given by Pretrained, or a checkpoint, expect it.
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
