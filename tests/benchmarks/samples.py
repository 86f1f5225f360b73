"""Results as the scripts of benchmarks/ write them, with made-up figures; some goals are missed."""

MACHINE = dict(cpu='a processor', cores=2, load=0.1, python='3.11.0', torch='2.15.0')
PIPELINES = {
    'decoding alone': 1.2,
    'MMPretrain': 2.0,
    'torchvision v2': 1.5,
    'PIL': 1.6,
    'PIL with draft()': 1.4,
    'vgg_mm, lazy=False': 1.9,
    'vgg_mm, lazy=True': 1.1,
    'vgg_mm, with nvImageCodec': 0.4,
}


def _around(value):
    """Three repetitions."""
    return [value * factor for factor in (0.96, 1, 1.04)]


def _both_clocks(value):
    return dict(cpu=_around(value), wall=_around(1.1 * value))


def _jitter_set(images):
    times = {name: _both_clocks(1e-3 * value) for name, value in PIPELINES.items()}
    return dict(images=images, differences={'lazy to PIL': 0.7}, seconds_per_image=times)


def _protocol_batch(number, slower=1):
    seconds = dict(a=42.0 + number, b=30.0 * slower, c=6.0 * slower, d=36.1 * slower)
    return dict(
        photos=[f'{number}_{i}.jpg' for i in range(4)],
        seconds=seconds,
        loader_bytes=dict(a=22.6e6, b=2e6, c=2e6, d=2e6),
        difference_a_b=3e-6,
    )


def _growth_curve(over, xs, exponent):
    values = [x**exponent for x in xs]
    return dict(
        over=over, expected='in words', x=xs, seconds=[_around(0.01 * v) for v in values],
        work=[1e9 * v for v in values], exponent=exponent + 0.02, exponent_spread=[0.9, 1.1],
        work_exponent=exponent,
    )  # fmt: skip


def _course(images, held):
    return dict(images=images, resident=[held * 2**20] * len(images), peak=(held + 30) * 2**20)


def _protocols(amp):
    return dict(
        device='x86_64, AVX2', torch='2.15.0', threads=2, amp=amp,
        batches=[_protocol_batch(number, 0.5 if amp else 1) for number in range(3)],
        peak_memory=dict.fromkeys('abcd', 3 * 2**30),
    )  # fmt: skip


SAMPLES = {
    'jitter': {
        'machine': {**MACHINE, 'nvimgcodec': '0.9.0'},
        'photos': _jitter_set(300),
        '12 megapixels': _jitter_set(16),
    },
    'model_speed': {
        'batch 8': dict(
            batch=8, amp=False, difference=1e-6, device='x86_64, AVX2', torch='2.15.0', threads=2,
            seconds={
                kind: {'MMPretrain': _around(3.0), 'vgg_mm': _around(2.5)}
                for kind in ('training iteration', 'training iteration with data', 'inference')
            },
        ),
        'batch 8, bfloat16': dict(
            batch=8, amp=True, difference=1e-6, device='x86_64, AVX512', torch='2.15.0', threads=2,
            seconds={
                kind: {
                    'MMPretrain': _around(3.0), 'vgg_mm': _around(1.0),
                    'MMPretrain, autocast by vgg_mm': _around(1.5),
                }
                for kind in ('training iteration', 'training iteration with data', 'inference')
            },
        ),
        'memory at batch 8': dict(
            memory={
                'MMPretrain': _around(5 * 2**30), 'vgg_mm': _around(4 * 2**30),
                'vgg_mm, with_cp': _around(3 * 2**30),
            },
            device='x86_64, AVX2', torch='2.15.0', threads=2,
        ),
    },
    'test_protocols': _protocols(amp=False),
    'test_protocols_amp': _protocols(amp=True),
    'conv_head_speed': dict(
        dense_seconds={
            q: {'ConvHead': _around(s), 'conv2d': _around(3 * s)}
            for q, s in (('256', 0.1), ('384', 0.2), ('512', 0.4))
        },
        batch=32, seconds={'ConvHead': _around(1.0), 'plain': _around(1.0)},
        medians={'ConvHead': 1.0, 'plain': 1.0}, ratio=1.0, spread=[1.0, 1.0],
        threads=2, torch='2.15.0',
    ),
    'guards': dict(
        config='vgg16_jitter_digits.py', iterations={'on': 198, 'off': 189},
        median_ms={'on': 222.0, 'off': 218.0}, inside_guards_ms=2.0,
        quartiles_ms={'on': [191.0, 222.0, 248.0], 'off': [191.0, 218.0, 250.0]},
    ),
    'start_up': dict(
        machine=MACHINE,
        seconds={
            'import': {'MMPretrain': _both_clocks(4.0), 'vgg_mm': _both_clocks(5.0)},
            'train.py --help': {'MMPretrain': _both_clocks(4.0), 'vgg_mm': _both_clocks(0.1)},
            'test.py --help': {'MMPretrain': _both_clocks(4.0), 'vgg_mm': _both_clocks(0.1)},
        },
    ),
    'growth': dict(
        machine=MACHINE, device='x86_64, AVX2', threads=2, net='A, base_channels=16',
        curves={
            'dense': _growth_curve('Q', [256, 320, 384, 448, 512, 640], 2.1),
            'multi_crop': _growth_curve('Q', [256, 320, 384, 448, 512, 640], 0.0),
            'classes': _growth_curve('classes', [1000, 4000, 16000, 64000], 0.1),
            'images': _growth_curve('images', [4, 8, 16, 32], 1.0),
            'workers': _growth_curve('loader workers', [1, 2, 4], 0.0),
        },
    ),
    'memory': dict(
        machine=MACHINE, device='x86_64, AVX2',
        courses={
            'lazy': _course([*range(1000, 20001, 1000)], 600),
            'lazy, nvImageCodec': _course([*range(1000, 20001, 1000)], 620),
            'dense': _course([*range(50, 501, 50)], 900),
            'dense, strips': _course([*range(50, 501, 50)], 700),
        },
    ),
}  # fmt: skip
