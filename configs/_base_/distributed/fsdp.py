# Weights, gradients and momentum sharded over the processes (torch's FSDP): less memory, more
# traffic than one copy of the net in each process. For a config of configs/vgg:
# _base_ = ['./vgg16_jitter_imagenet.py', '../_base_/distributed/fsdp.py']
runner_type = 'vgg_mm.ShardedRunner'

strategy = dict(
    type='vgg_mm.FSDPStrategy',
    model_wrapper=dict(
        # Units that are gathered one after the other: fc6, fc7 and the convolutions (15 million
        # weights together); fc8 stays with the rest.
        auto_wrap_policy=dict(
            type='torch.distributed.fsdp.wrap.size_based_auto_wrap_policy',
            min_num_params=10_000_000,
        ),
        # Gradients in 16 bits: --cfg-options
        # strategy.model_wrapper.mixed_precision.reduce_dtype=bfloat16
        mixed_precision=dict(reduce_dtype=None),
    ),
)
