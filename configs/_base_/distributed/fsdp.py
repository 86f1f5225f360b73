# Weights, gradients and momentum are sharded over the processes (torch's FSDP). This needs less
# memory and more communication than a copy of the net in each process. In a config of configs/vgg:
# _base_ = ['./vgg16_jitter_imagenet.py', '../_base_/distributed/fsdp.py']
runner_type = 'vgg_mm.ShardedRunner'

strategy = dict(
    type='vgg_mm.FSDPStrategy',
    model_wrapper=dict(
        # Units that are gathered one at a time: fc6, fc7, and all convolutions together (15 million
        # weights). fc8 belongs to the root unit.
        auto_wrap_policy=dict(
            type='torch.distributed.fsdp.wrap.size_based_auto_wrap_policy',
            min_num_params=10_000_000,
        ),
        # For 16-bit gradients: --cfg-options
        # strategy.model_wrapper.mixed_precision.reduce_dtype=bfloat16
        mixed_precision=dict(reduce_dtype=None),
    ),
)
