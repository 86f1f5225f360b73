# Types without a prefix are looked up in MMPretrain's registries; this package's have the prefix
# "vgg_mm.".
default_scope = 'mmpretrain'
custom_imports = dict(imports=['vgg_mm'], allow_failed_imports=False)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='CheckpointHook',
        interval=1,
        max_keep_ckpts=1,
        save_best='accuracy/top1',
        rule='greater',
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='VisualizationHook', enable=False),
    # Checks that training, validation and test set, head and checkpoint have the same classes.
    class_check=dict(type='vgg_mm.ClassCheckHook'),
    # Off by default. To initialise from a shallower net's checkpoint:
    # --cfg-options default_hooks.staged_init.checkpoint=work_dirs/vgg11_s256_imagenet/epoch_74.pth
    staged_init=dict(type='vgg_mm.StagedInitHook', checkpoint=None),
    # Off by default. 'bfloat16' halves the communication between processes:
    # --cfg-options default_hooks.gradient_compression.dtype=bfloat16
    gradient_compression=dict(type='vgg_mm.GradientCompressionHook', dtype=None),
    # Stops if the loss is not finite; warns if it stays at ln(num_classes).
    loss_guard=dict(type='vgg_mm.LossGuardHook'),
)

env_cfg = dict(
    # For training crops, which have one shape; --tta switches it off, as image shapes vary there.
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    # Without a GPU, the tools use 'gloo'.
    dist_cfg=dict(backend='nccl'),
)

# TensorBoard: --cfg-options visualizer.vis_backends.0.type=TensorboardVisBackend
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='UniversalVisualizer', vis_backends=vis_backends)

log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=None, deterministic=False)
